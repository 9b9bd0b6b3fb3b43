//! What of a cell's containment this kernel offers: ids of its own, the system call filter.

use super::Check;

/// A user namespace for a cell, by how many this kernel allows, and whether its tmpfs can hold the
/// writable layer above mapped files.
pub(super) fn own_ids(most: Option<&str>, layers_in_memory: bool) -> Check {
    const NAME: &str = "user-namespaces";
    match most.map(str::trim) {
        None => Check::degraded(NAME, "not built into this kernel: --userns will be refused"),
        Some("0") => Check::degraded(
            NAME,
            "user.max_user_namespaces=0, so --userns will fail: sysctl user.max_user_namespaces=10000",
        ),
        Some(most) if layers_in_memory => Check::ok(NAME, format!("up to {most}")),
        Some(most) => {
            let detail = format!("up to {most}; not with --upper tmpfs, which needs Linux 6.6");
            Check::degraded(NAME, detail)
        }
    }
}

/// The actions that a system call filter may have here, as the kernel lists them.
pub(super) fn filter(actions: Option<&str>) -> Check {
    const NAME: &str = "seccomp";
    let Some(actions) = actions else {
        return Check::missing(
            NAME,
            "not built into this kernel (CONFIG_SECCOMP_FILTER): only --security-opt \
             seccomp=unconfined can work",
        );
    };
    let listed: Vec<_> = actions.split_whitespace().collect();
    let lacking: Vec<_> = ["kill_process", "kill_thread", "trap", "errno", "trace", "log", "allow"]
        .into_iter()
        .filter(|action| !listed.contains(action))
        .collect();
    match lacking.is_empty() {
        true => Check::ok(NAME, listed.join(", ")),
        false => Check::degraded(NAME, format!("this kernel lacks {}", lacking.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_keeps_ids_from_a_cell_is_named() {
        assert_eq!(own_ids(Some("96372\n"), true).state, State::Ok);
        for (most, in_memory, word) in
            [(None, true, "not built"), (Some("0\n"), true, "sysctl"), (Some("9\n"), false, "6.6")]
        {
            let check = own_ids(most, in_memory);
            assert!(check.state == State::Degraded && check.detail.contains(word), "{check:?}");
        }
    }

    #[test]
    fn an_action_that_the_kernel_lacks_is_named() {
        let all = "kill_process kill_thread trap errno user_notif trace log allow\n";
        assert_eq!(filter(Some(all)).state, State::Ok);
        let check = filter(Some("kill_thread trap errno trace allow"));
        assert!(check.state == State::Degraded && check.detail.ends_with("kill_process, log"));
        assert_eq!(filter(None).state, State::Missing);
    }
}
