//! What a probe printed, as a table: without what only says which host it ran on.

use std::collections::HashMap;
use std::path::Path;

/// `SECTION KEY` and its value, in the order in which they were printed.
#[derive(Clone, Debug)]
pub struct Table {
    pub lines: Vec<(String, String)>,
    index: HashMap<String, String>,
}

impl Table {
    pub fn new(lines: impl IntoIterator<Item = (String, String)>) -> Table {
        let mut table = Table { lines: Vec::new(), index: HashMap::new() };
        for (mut key, value) in lines {
            // One mount over another.
            while table.index.contains_key(&key) {
                key.push('+');
            }
            table.index.insert(key.clone(), value.clone());
            table.lines.push((key, value));
        }
        table
    }

    /// Reads lines as the probe prints them, which is also the form of the golden tables.
    pub fn parse(text: &str) -> Table {
        let line = |line: &str| {
            let mut parts = line.splitn(3, ' ');
            let key = format!("{} {}", parts.next()?, parts.next()?);
            Some((key, parts.next().unwrap_or_default().to_owned()))
        };
        Table::new(text.lines().filter(|line| !line.starts_with('#')).filter_map(line))
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.index.get(key).map(String::as_str)
    }

    /// The lines of a section: what stands behind its name, and the value.
    pub fn section<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.lines.iter().filter_map(move |(key, value)| {
            let (section, key) = key.split_once(' ')?;
            (section == name).then_some((key, value.as_str()))
        })
    }

    pub fn filtered(&self, keep: impl Fn(&str, &str) -> bool) -> Table {
        Table::new(self.lines.iter().filter(|(key, value)| keep(key, value)).cloned())
    }

    pub fn text(&self) -> String {
        self.lines.iter().map(|(key, value)| format!("{key} {value}\n")).collect()
    }
}

/// A system call by number and name, and Docker's word on it.
#[derive(Debug)]
pub struct Call {
    pub number: Option<u32>,
    pub name: &'static str,
    pub docker: &'static str,
}

/// The calls of x86-64.
pub fn calls() -> Vec<Call> {
    let lines = include_str!("x86_64.txt").lines().filter(|line| !line.starts_with('#'));
    let call = |line: &'static str| {
        let parts: Vec<_> = line.split(' ').collect();
        Call { number: parts[0].parse().ok(), name: parts[1], docker: parts[2] }
    };
    lines.map(call).collect()
}

/// Numbers get their names, and what nobody has named yet becomes ranges.
pub fn named(table: &Table) -> Table {
    let calls = calls();
    let name = |key: &str| {
        let number = key.parse().ok();
        calls.iter().find(|call| call.number == number).map(|call| call.name)
    };
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut range: Option<(String, String, String)> = None;
    let close = |range: Option<(String, String, String)>, lines: &mut Vec<_>| {
        if let Some((from, to, value)) = range {
            lines.push((format!("syscall {from}-to-{to}"), value));
        }
    };
    for (key, value) in &table.lines {
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let number = key.strip_prefix("syscall ").filter(digits);
        match (number, number.and_then(name)) {
            (Some(number), None) => {
                let (from, old) = match &range {
                    Some((from, _, old)) if old == value => (from.clone(), true),
                    _ => (number.to_owned(), false),
                };
                if !old {
                    close(range.take(), &mut lines);
                }
                range = Some((from, number.to_owned(), value.clone()));
            }
            (number, name) => {
                close(range.take(), &mut lines);
                let key = match (number, name) {
                    (Some(number), Some(name)) => format!("syscall {number}-{name}"),
                    _ => key.clone(),
                };
                lines.push((key, value.clone()));
            }
        }
    }
    close(range, &mut lines);
    Table::new(lines)
}

/// What a golden table holds: nothing that another host, kernel or hierarchy of cgroups decides and
/// that a rule or a comparison looks at anyway.
pub fn golden(table: &Table) -> Table {
    let keep = |key: &str, value: &str| {
        let (section, name) = key.split_once(' ').unwrap();
        let file = Path::new(name);
        let fixed = ["/proc", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/sys"];
        let below = file.starts_with("/proc") || file.starts_with("/sys");
        match section {
            // Masks depend on what there is to mask, cgroups on the host.
            "mount" | "writable" | "remount" => !below || fixed.contains(&name),
            "cgroup" | "look" => false,
            "limit" => value != "host",
            _ => true,
        }
    };
    named(table).filtered(keep)
}

/// Replaces what the host decides; a cell never has its limit on core files.
/// `name` is the cell's host name.
pub fn without_host(table: &Table, name: &str) -> Table {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let lines = table.lines.iter().map(|(key, value)| {
        let value = match key.split_once(' ').unwrap() {
            ("limit", limit) if limit != "CORE" && host_limit(limit).as_deref() == Some(value) => {
                "host".to_owned()
            }
            ("process", "hostname") | ("environment", "HOSTNAME") if *value == name => {
                "NAME".into()
            }
            ("process", "hostname") | ("environment", "HOSTNAME") if *value == host => {
                "HOST".into()
            }
            ("mount", target) => mount(target, value),
            ("process", "uid_map") => value.split_whitespace().collect::<Vec<_>>().join(" "),
            _ => value.clone(),
        };
        (key.clone(), value)
    });
    Table::new(lines)
}

/// Where a mount's files are kept on the host is nobody's business.
fn mount(target: &str, value: &str) -> String {
    let (mount, rest) = value.split_once(",super=").unwrap();
    let of_kernel = ["/proc", "/sys", "/dev"].iter().any(|dir| Path::new(target).starts_with(dir));
    let mount: Vec<_> = mount
        .split(',')
        .map(|option| match option.strip_prefix("root=") {
            Some(root) if !of_kernel && root != "/" => "root=HOST",
            _ => option,
        })
        .collect();
    let hidden = ["lowerdir=", "upperdir=", "workdir=", "uuid=", "fsync=", "volatile", "inode64"];
    let (options, propagation) = rest.rsplit_once(',').unwrap();
    let overlay = mount[0] == "overlay" || mount[0] == "tmpfs";
    // Of somebody's disk there is nothing to compare.
    let own = overlay || of_kernel;
    let options = options.split(',').filter(|option| !hidden.iter().any(|h| option.starts_with(h)));
    let options = options.filter(|option| own || ["ro", "rw"].contains(option));
    let options: Vec<_> = options.collect();
    let kind = if own { mount[0] } else { "disk" };
    format!("{kind},{},super={},{propagation}", mount[1..].join(","), options.join(","))
}

/// This process's own limit, which a cell inherits where nobody sets one.
fn host_limit(name: &str) -> Option<String> {
    let table = std::fs::read_to_string("/proc/self/limits").unwrap();
    let row = match name {
        "CPU" => "Max cpu time",
        "FSIZE" => "Max file size",
        "DATA" => "Max data size",
        "STACK" => "Max stack size",
        "CORE" => "Max core file size",
        "RSS" => "Max resident set",
        "NPROC" => "Max processes",
        "NOFILE" => "Max open files",
        "MEMLOCK" => "Max locked memory",
        "AS" => "Max address space",
        "LOCKS" => "Max file locks",
        "SIGPENDING" => "Max pending signals",
        "MSGQUEUE" => "Max msgqueue size",
        "NICE" => "Max nice priority",
        "RTPRIO" => "Max realtime priority",
        "RTTIME" => "Max realtime timeout",
        _ => return None,
    };
    let line = table.lines().find_map(|line| line.strip_prefix(row))?;
    let mut values = line.split_whitespace();
    Some(format!("{}:{}", values.next()?, values.next()?))
}
