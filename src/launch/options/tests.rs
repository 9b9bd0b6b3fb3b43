//! Tests of the mount options.

use proptest::prelude::*;

use super::*;

fn parsed(kind: &str, options: &[&str]) -> Result<MountOptions, Error> {
    let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
    parse("/x", kind, &options)
}

#[test]
fn a_tmpfs_keeps_its_own_options() {
    let options = parsed("tmpfs", &["nosuid", "strictatime", "mode=755", "size=1k"]).unwrap();
    assert_eq!(options.flags(), (MS_NOSUID | MS_STRICTATIME) as u64);
    assert_eq!(options.data, ["mode=755", "size=1k"]);
    assert!(!options.bind);
}

#[test]
fn the_last_of_two_opposites_wins() {
    let options = parsed("bind", &["ro", "rw", "suid", "nosuid"]).unwrap();
    assert!(!options.read_only());
    assert_eq!(options.own, Attributes { set: MOUNT_ATTR_NOSUID, clear: MOUNT_ATTR_RDONLY });
}

#[test]
fn only_the_recursive_words_reach_what_is_mounted_below() {
    let options = parsed("bind", &["rbind", "ro", "rnosuid", "rexec"]).unwrap();
    assert_eq!(options.own, Attributes { set: MOUNT_ATTR_RDONLY, clear: 0 });
    let tree = Attributes { set: MOUNT_ATTR_NOSUID, clear: MOUNT_ATTR_NOEXEC };
    assert_eq!(options.tree, tree);
    assert!(options.recursive && options.read_only());
    // The recursive word is the stronger one, whatever the order.
    assert!(!parsed("bind", &["rrw", "ro"]).unwrap().read_only());
}

#[test]
fn access_times_are_one_choice() {
    let times = |words: &[&str]| parsed("bind", words).unwrap().own;
    let chosen = |set| Attributes { set, clear: MOUNT_ATTR__ATIME };
    assert_eq!(times(&["noatime", "strictatime"]), chosen(MOUNT_ATTR_STRICTATIME));
    assert_eq!(times(&["noatime", "relatime"]), chosen(0));
    assert_eq!(times(&["noatime", "atime"]), chosen(0));
    assert_eq!(times(&["strictatime", "atime"]), chosen(MOUNT_ATTR_STRICTATIME));
    assert_eq!(times(&["strictatime", "nostrictatime"]), chosen(0));
    assert_eq!(times(&["norelatime"]), Attributes::default());
    let whole = parsed("bind", &["rnoatime"]).unwrap();
    assert_eq!((whole.own, whole.tree), (Attributes::default(), chosen(MOUNT_ATTR_NOATIME)));
    assert_eq!(parsed("bind", &["rrelatime"]).unwrap().tree, chosen(0));
}

#[test]
fn propagation_is_for_the_mount_or_for_the_tree() {
    for (word, flag) in [
        ("private", MS_PRIVATE),
        ("slave", MS_SLAVE),
        ("shared", MS_SHARED),
        ("unbindable", MS_UNBINDABLE),
    ] {
        assert_eq!(parsed("bind", &[word]).unwrap().propagation, flag as u64);
        let recursive = format!("r{word}");
        assert_eq!(parsed("bind", &[&recursive]).unwrap().propagation, (flag | MS_REC) as u64);
        assert_eq!(root_propagation(word).unwrap(), flag as u64);
        assert_eq!(root_propagation(&recursive).unwrap(), (flag | MS_REC) as u64);
    }
    for bad in ["", "r", "ro", "rro", "rrprivate", "../..", "PRIVATE"] {
        assert!(root_propagation(bad).is_err(), "{bad}");
    }
}

/// Every word of the specification's table, version 1.2.
#[test]
fn the_specifications_words_are_known() {
    let words = "acl async atime bind idmap defaults dev diratime dirsync exec iversion lazytime loud mand \
                 noacl noatime nodev nodiratime noexec noiversion nolazytime nomand norelatime \
                 nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount \
                 rexec ridmap rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid \
                 rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid \
                 rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync \
                 tmpcopyup unbindable";
    for word in words.split_whitespace() {
        let bind = parsed("bind", &[word]);
        let new = parsed("tmpfs", &[word]);
        assert!(bind.is_ok() || new.is_ok(), "{word}");
        let data = [bind, new].into_iter().flatten().map(|options| options.data.len());
        assert_eq!(data.sum::<usize>(), 0, "{word} is nobody's own");
    }
    for (kind, words) in [
        ("bind", &["tmpcopyup"][..]),
        ("proc", &["tmpcopyup"]),
        ("tmpfs", &["bind", "tmpcopyup"]),
        ("tmpfs", &["remount", "size=1k"]),
        ("bind", &["remount", "private"]),
        ("bind", &["idmap", "remount"]),
    ] {
        let error = parsed(kind, words).unwrap_err().to_string();
        assert!(error.contains("mount on /x"), "{error}");
    }
}

#[test]
fn unknown_words_and_values_are_refused_with_the_mount() {
    for (kind, option) in [
        ("none", "bind-propagation=../.."),
        ("bind", "size=1k"),
        ("bind", "sync"),
        ("tmpfs", "size=1k,uid=0"),
        ("tmpfs", "size=-1"),
        ("tmpfs", "size"),
        ("tmpfs", "mode=8"),
        ("tmpfs", "mode=17777"),
        ("tmpfs", "noswap=1"),
        ("tmpfs", "huge=yes"),
        ("tmpfs", "shared"),
        ("tmpfs", "rsync"),
        ("tmpfs", "RO"),
        ("tmpfs", ""),
        ("proc", "hidepid=3"),
        ("proc", "size=1k"),
        ("proc", "gid=4294967295"),
        ("sysfs", "mode=755"),
        ("mqueue", "mode=755"),
        ("devpts", "max=x"),
        ("cgroup", "nsdelegate"),
        ("cgroup2", "name=x"),
    ] {
        let options = if kind == "none" { vec!["rbind", option] } else { vec![option] };
        let error = parsed(kind, &options).unwrap_err().to_string();
        assert!(error.contains(&format!("{option:?} of the mount on /x")), "{error}");
    }
}

#[test]
fn another_type_reads_its_own_words() {
    let options = parsed("ext4", &["ro", "data=journal", "errors=panic"]).unwrap();
    assert_eq!(options.data, ["data=journal", "errors=panic"]);
    assert_eq!(options.flags(), MS_RDONLY as u64);
}

proptest! {
    #[test]
    fn no_word_is_lost_or_smuggled(
        kind in "tmpfs|proc|sysfs|devpts|mqueue|cgroup|bind",
        option in "[a-z=,/.0-9]{0,12}",
    ) {
        if let Ok(options) = parsed(&kind, &[&option]) {
            prop_assert!(options.data.iter().all(|data| !data.contains(',')));
            let known = Word::of(&option).is_some()
                || option.strip_prefix('r').is_some_and(|rest| Word::of(rest).is_some());
            prop_assert_eq!(options.data.is_empty(), known);
        }
    }

    #[test]
    fn what_is_set_is_never_cleared_too(words in proptest::collection::vec(
        "r?(ro|rw|suid|nosuid|dev|nodev|exec|noexec|atime|noatime|relatime|strictatime|nostrictatime|diratime|nodiratime)",
        0..12,
    )) {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let options = parsed("bind", &words).unwrap();
        for attributes in [options.own, options.tree, options.top()] {
            prop_assert_eq!(attributes.set & attributes.clear & !MOUNT_ATTR__ATIME, 0);
            // The kernel refuses a new kind of access times without clearing the old one.
            if attributes.set & MOUNT_ATTR__ATIME != 0 {
                prop_assert_eq!(attributes.clear & MOUNT_ATTR__ATIME, MOUNT_ATTR__ATIME);
            }
        }
    }
}

#[test]
#[cfg(feature = "cli")]
fn the_list_of_words_holds_those_that_mean_something() {
    for text in MOUNT_OPTIONS {
        let plain = Word::of(text);
        let tree = text.strip_prefix('r').and_then(Word::of).filter(|word| word.is_about_a_tree());
        assert!(plain.is_some() || tree.is_some(), "{text}");
    }
}
