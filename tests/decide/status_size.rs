//! How much of a status has room in its object.

use crate::core::{AthenaSession, AthenaSessionSpec, StatusLimit, StatusSize};

fn copy(version: &str) -> AthenaSession {
    let mut object = AthenaSession::new("object", AthenaSessionSpec::default());
    object.metadata.resource_version = Some(version.to_owned());
    object
}

#[test]
fn a_copy_without_room_gets_less_and_another_copy_gets_all() {
    let mut limit = StatusLimit::default();
    assert_eq!(limit.of(&copy("1")), StatusSize::Full);
    assert!(limit.refused(&copy("1")));
    assert_eq!(limit.of(&copy("1")), StatusSize::Short);
    limit.written(&copy("1"), &copy("2"));
    assert_eq!(limit.of(&copy("2")), StatusSize::Short, "the operator itself made this copy");
    assert!(limit.refused(&copy("2")));
    assert_eq!(limit.of(&copy("2")), StatusSize::Nothing);
    assert!(!limit.refused(&copy("2")), "there is nothing less than nothing");
    assert_eq!(limit.of(&copy("3")), StatusSize::Full, "somebody may have made it smaller");
}
