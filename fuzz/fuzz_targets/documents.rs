//! Any bytes as a name, a digest or a document of an image: read and written as the same, or refused.
#![no_main]

use hotcell::image::{Digest, Document, ImageConfig, Index, Manifest, Reference};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(digest) = text.parse::<Digest>() {
            assert_eq!(digest.to_string(), text);
        }
        if let Ok(reference) = text.parse::<Reference>() {
            assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
            assert_eq!(reference.familiar().parse(), Ok(reference));
        }
    }
    if let Ok(manifest) = Document::<Manifest>::read(bytes) {
        let again = Document::<Manifest>::read(&manifest.to_json());
        assert_eq!(again.as_ref().map(Document::content), Ok(manifest.content()));
    }
    if let Ok(index) = Document::<Index>::read(bytes) {
        let again = Document::<Index>::read(&index.to_json());
        assert_eq!(again.as_ref().map(Document::content), Ok(index.content()));
    }
    let _ = Document::<ImageConfig>::read(bytes);
});
