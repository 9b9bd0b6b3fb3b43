//! Texts of others in messages: as much of them as a line takes.

/// The text, or its beginning if it is long. Messages print it with `{:?}`, which leaves it in a line.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 140;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// The same, made fit to stand in a line without quotation marks.
pub(crate) fn quoted(text: &str) -> String {
    excerpt(text).escape_debug().to_string()
}
