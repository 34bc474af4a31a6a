//! How a step of the checks ended.

/// How a step ended that did not fail.
pub enum Done {
    /// It checked what it is for.
    Checked,
    /// It checked nothing, and why: something is missing here.
    Skipped(String),
}
