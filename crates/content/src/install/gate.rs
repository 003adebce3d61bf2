//! Versions of StackStorm and Python that a manifest asks for.

use super::InstallError;
use squall_yaml::{Kind, Node};

/// The release of StackStorm whose content squall runs.
const STACKSTORM: (u64, u64, u64) = (3, 9, 0);

/// Refuses a pack that asks for what is not there, unless forced.
pub(super) fn check(name: &str, manifest: &Node, force: bool) -> Result<(), InstallError> {
    if force {
        return Ok(());
    }
    let way_out =
        "You can override this restriction by providing the \"force\" flag, but the pack is not guaranteed to work.";
    if let Some(wanted) = manifest.get("stackstorm_version").and_then(|node| node.as_str())
        && !is_met(wanted)
    {
        let (a, b, c) = STACKSTORM;
        let text = format!(
            "Pack \"{name}\" requires StackStorm \"{wanted}\", but current version is \"{a}.{b}.{c}\". {way_out}"
        );
        return Err(InstallError::Gate(text));
    }
    let versions = manifest.get("python_versions").and_then(|node| node.as_seq()).unwrap_or_default();
    let texts: Vec<&str> = versions
        .iter()
        .filter_map(|node| match &node.kind {
            Kind::Scalar { text, .. } => Some(&**text),
            Kind::Seq(_) | Kind::Map(_) => None,
        })
        .collect();
    if texts == ["2"] {
        let text = format!("Pack \"{name}\" requires Python 2.x, but current Python version is \"3\". {way_out}");
        return Err(InstallError::Gate(text));
    }
    Ok(())
}

/// Whether every comparison of a list such as `>=3.0.0, <4.0.0` holds. One that cannot be read holds.
fn is_met(wanted: &str) -> bool {
    wanted.split(',').map(str::trim).all(|part| {
        let at = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
        let (operator, version) = part.split_at(at);
        let numbers: Vec<u64> = version.trim().split('.').map_while(|n| n.parse().ok()).collect();
        let [a, b, c] = numbers[..] else { return true };
        let (ours, theirs) = (STACKSTORM, (a, b, c));
        match operator.trim() {
            ">=" => ours >= theirs,
            ">" | ">>" => ours > theirs,
            "<=" => ours <= theirs,
            "<" | "<<" => ours < theirs,
            "=" | "==" => ours == theirs,
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::is_met;

    #[test]
    fn comparisons() {
        assert!(is_met(">=2.9.0") && is_met(">= 3.0.0, < 4.0.0") && is_met("=3.9.0") && is_met("odd"));
        assert!(!is_met(">=4.0.0") && !is_met("<3.0.0") && !is_met(">=3.0.0,<3.5.0"));
    }
}
