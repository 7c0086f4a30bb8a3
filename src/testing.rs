//! Helpers for the unit tests of several modules.

use std::process::Command;

/// Runs the calling test again in a process of its own, where it may count file descriptors or lower limits.
///
/// `test` is the path of that test in this crate. Returns `true` in the new process, which runs the body of
/// the test, and `false` in the original one once the new process has ended.
///
/// # Panics
///
/// Panics if the test failed in the new process, or if there is no such test.
pub(crate) fn alone(test: &str) -> bool {
    const MARK: &str = "WINDLASS_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "test {test} did not run: it does not exist or is ignored");
    false
}
