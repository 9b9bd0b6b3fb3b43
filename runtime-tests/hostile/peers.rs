//! Plays a form through runc and crun.
pub fn wanted() -> bool {
    std::env::var("HOTCELL_PEERS").is_ok_and(|peers| peers == "1")
}
