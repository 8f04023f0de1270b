//! `bench` and `tune` through the program.

#![expect(
    clippy::disallowed_methods,
    reason = "the test plays the operator, who reads files"
)]

mod common;

use common::{Place, code, stderr};

/// Small, and with every kind of call.
const LOAD: &str = r#"
name = "small"
seconds = 0.4
writers = 4
batch = 2
durability = "buffered"
preload = 3000
days = 5
[mix]
append = 4
newest_page = 3
deep_page = 2
inbox = 1
[chat]
users = 50
groups = 5
directs = 10
body_bytes = 200
[options]
shards = 1
"#;

#[test]
fn a_load_says_what_it_came_to_and_leaves_a_whole_store() {
    let place = Place::empty();
    let file = place.file("load.toml", LOAD);
    let outcome = place.json(&[
        "bench",
        &file,
        "--out",
        place.path("out.json").to_str().unwrap(),
    ]);
    let of = |name: &str| outcome["calls"][name]["calls"].as_u64().unwrap();
    for call in ["append", "newest_page", "deep_page", "inbox"] {
        assert!(of(call) > 0, "{call}: {outcome}");
    }
    assert_eq!(outcome["refused"], 0);
    let rate = outcome["messages_per_second"].as_f64().unwrap();
    let seconds = outcome["seconds"].as_f64().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
    let appended = 2.0 * of("append") as f64;
    assert!((rate * seconds / appended - 1.0).abs() < 0.01, "{outcome}");
    for figure in [
        "disk_per_body",
        "written_per_body",
        "cpu_seconds_per_million",
    ] {
        assert!(
            outcome[figure].as_f64().unwrap() > 0.0,
            "{figure}: {outcome}"
        );
    }
    let written = std::fs::read_to_string(place.path("out.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&written).unwrap(),
        outcome
    );
    assert_eq!(code(&place.run(&["verify"])), 0);
    // Again on the same directory: what is there stays, and is not filled again.
    let again = place.run(&["bench", &file]);
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    assert!(String::from_utf8_lossy(&again.stdout).contains("newest page"));
    assert_eq!(code(&place.run(&["verify"])), 0);
}

#[test]
fn a_load_that_cannot_be_is_refused_with_its_reason() {
    let place = Place::empty();
    for (text, word) in [
        ("seconds = -1", "seconds"),
        ("writers = 0", "writers"),
        ("speed = 9", "speed"),
        ("[mix]\nappend = 0\nnewest_page = 0\ndeep_page = 0", "mix"),
        ("[options]\nshards = \"many\"", "shards"),
        ("[options]\nshards = 65", "shards"),
        ("[chat]\nusers = 1", "users"),
        ("durability = \"perhaps\"", "durability"),
        ("= =", "TOML"),
    ] {
        let file = place.file("load.toml", text);
        let refused = place.run(&["bench", &file]);
        assert_eq!(code(&refused), 2, "{text}: {}", stderr(&refused));
        assert!(
            stderr(&refused).contains(word),
            "{text}: {}",
            stderr(&refused)
        );
    }
    let unknown = place.run(&["tune", "--knobs", "wings"]);
    assert_eq!(code(&unknown), 2);
    assert!(stderr(&unknown).contains("compression_level"));
    assert_eq!(code(&place.run(&["tune", "--goal", "fame"])), 2);
}

#[test]
fn tuning_measures_each_value_and_draws_a_page() {
    let place = Place::empty();
    let load = LOAD.replace("3000", "500").replace("0.4", "0.1");
    let file = place.file("load.toml", load);
    let page = place.path("page.html");
    let args = [
        "tune",
        &file,
        "--knobs",
        "buffered_delay_ms",
        "--seconds",
        "0.1",
        "--pairs",
        "1",
        "--exhaustive",
        "--html",
        page.to_str().unwrap(),
    ];
    let tuned = place.json(&args);
    let trials = tuned["trials"].as_array().unwrap();
    // Two other values; a second sweep if one was taken.
    assert!(trials.len() >= 2, "{tuned}");
    for trial in trials {
        assert!(
            trial["gains"]["throughput"].as_f64().unwrap() > 0.0,
            "{trial}"
        );
    }
    let all = &tuned["exhaustive"];
    assert_eq!(all["trials"].as_array().unwrap().len(), 3);
    assert!(all["recommended_to_best"].as_f64().unwrap() > 0.0);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("buffered_delay_ms"));
    // Nothing of it stays.
    let left = std::fs::read_dir(place.data()).unwrap().count();
    assert_eq!(left, 0);
}
