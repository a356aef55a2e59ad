//! The picture of the README is the one that its script draws.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::in_checkout;

#[test]
fn the_picture_is_as_its_script_draws_it() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("picture");
    fs::create_dir_all(&folder).unwrap();
    // The script draws beside itself.
    let script = folder.join("life.py");
    fs::copy(in_checkout("docs/pictures/life.py"), &script).unwrap();
    assert!(Command::new("python3").arg(&script).status().expect("python3").success());
    for name in ["life-light.svg", "life-dark.svg"] {
        let drawn = fs::read_to_string(folder.join(name)).unwrap();
        let committed = fs::read_to_string(in_checkout(&format!("docs/pictures/{name}"))).unwrap();
        assert!(drawn == committed, "docs/pictures/{name} is out of date: run `python3 docs/pictures/life.py`");
    }
}
