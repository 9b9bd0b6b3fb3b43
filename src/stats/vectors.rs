//! What the original program computed, compared with what stands here: `vectors/contract.json`, or
//! the file of the same form that `HOTCELL_VECTORS` names.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Deserialize;

use super::{Stats, decimate, timestamp};
use crate::contract::{ImageName, Stat, parse_image_first_generation};

#[derive(Deserialize)]
struct Vectors {
    decimate: Vec<Decimation>,
    parse_image: Vec<Parsed>,
    stats_scan: Vec<Scan>,
    stats_value: Vec<Value>,
}

#[derive(Deserialize)]
struct Decimation {
    max: i64,
    #[serde(rename = "in")]
    input: Option<Vec<Sample>>,
    out: Option<Vec<Sample>>,
    nil: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parsed {
    image: String,
    registry: String,
    repo: String,
    tag: String,
}

#[derive(Deserialize)]
struct Scan {
    value: String,
    out: Option<Vec<Sample>>,
    error: bool,
    nil: bool,
}

#[derive(Deserialize)]
struct Value {
    #[serde(rename = "in")]
    input: Option<Vec<Sample>>,
    value: String,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Sample {
    unix_nanos: i64,
    metrics: Option<BTreeMap<String, u64>>,
}

impl Sample {
    /// The file writes a nil map as `{}`, too.
    fn of(stat: &Stat) -> Sample {
        let metrics = Some(stat.metrics.clone().unwrap_or_default());
        Sample { unix_nanos: timestamp::unix_nanos_wrapped(stat.timestamp), metrics }
    }

    fn at(&self) -> SystemTime {
        timestamp::from_unix_nanos(self.unix_nanos)
    }
}

fn stats(samples: Option<Vec<Sample>>) -> Vec<Stat> {
    let stat = |sample: Sample| Stat { timestamp: sample.at(), metrics: sample.metrics };
    samples.unwrap_or_default().into_iter().map(stat).collect()
}

fn wanted(samples: Option<Vec<Sample>>) -> Vec<Sample> {
    stats(samples).iter().map(Sample::of).collect()
}

fn vectors() -> Vectors {
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/src/stats/vectors/contract.json");
    let path = std::env::var_os("HOTCELL_VECTORS").unwrap_or_else(|| ours.into());
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("read {path:?}: {error}"));
    let vectors: Vectors =
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    for (section, count) in [
        ("decimate", vectors.decimate.len()),
        ("parse_image", vectors.parse_image.len()),
        ("stats_scan", vectors.stats_scan.len()),
        ("stats_value", vectors.stats_value.len()),
    ] {
        assert!(count > 0, "{path:?} has nothing in its section {section}");
    }
    vectors
}

#[test]
fn decimation_follows_the_vectors() {
    for (index, vector) in vectors().decimate.into_iter().enumerate() {
        let got = decimate(vector.max, stats(vector.input));
        assert_eq!(got.is_none(), vector.nil, "decimate[{index}] (max {}) is nil", vector.max);
        let got: Vec<Sample> = got.iter().flatten().map(Sample::of).collect();
        let wanted = wanted(vector.out);
        assert_eq!(got.len(), wanted.len(), "decimate[{index}] (max {}): samples", vector.max);
        for (place, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
            assert_eq!(got, wanted, "decimate[{index}] (max {}): sample {place}", vector.max);
        }
    }
}

#[test]
fn image_names_follow_the_vectors() {
    for (index, Parsed { image, registry, repo, tag }) in
        vectors().parse_image.into_iter().enumerate()
    {
        let wanted = ImageName { registry, repo, tag };
        assert_eq!(parse_image_first_generation(&image), wanted, "parse_image[{index}] {image:?}");
    }
}

/// Where Go fails it leaves a half-filled list behind; we leave none, so only the failure counts.
#[test]
fn scanning_follows_the_vectors() {
    for (index, vector) in vectors().stats_scan.into_iter().enumerate() {
        let name = format!("stats_scan[{index}] {:?}", vector.value);
        match Stats::scan(&vector.value) {
            Err(error) => assert!(vector.error, "{name}: {error:?}"),
            Ok(got) => {
                assert!(!vector.error, "{name} must fail, and is {got:?}");
                assert_eq!(got.is_none(), vector.nil, "{name} is nil");
                let got: Vec<Sample> = got.unwrap_or_default().iter().map(Sample::of).collect();
                assert_eq!(got, wanted(vector.out), "{name}");
            }
        }
    }
}

#[test]
fn the_text_follows_the_vectors() {
    // A nil map stands in the file as an empty one, so their two texts can't be told apart.
    let alike = |text: &str| text.replace(r#""metrics":{}"#, r#""metrics":null"#);
    for (index, vector) in vectors().stats_value.into_iter().enumerate() {
        let got = Stats(stats(vector.input)).to_text();
        assert_eq!(alike(&got), alike(&vector.value), "stats_value[{index}]");
    }
}
