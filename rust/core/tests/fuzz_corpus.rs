//! Replays what fuzzing found worth keeping, and every input that ever crashed.

#[path = "../../fuzz/doors.rs"]
mod doors;

use std::fs;
use std::path::Path;

#[test]
fn every_door_takes_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, door) in doors::ALL {
        let mut count = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            let taken = std::panic::catch_unwind(|| door(&data));
            assert!(taken.is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count > 0, "no corpus for {name}");
    }
}
