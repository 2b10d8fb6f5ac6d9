//! Which revisions had all of the traffic: a short list, newest first, that a platform keeps with a function, so that
//! `rollout undo` goes back to what served, and not to a canary that was given up.

/// How many are remembered.
const KEPT: usize = 10;

/// The list as it is kept.
#[must_use]
pub fn read(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect()
}

/// The list as it is to be kept.
#[must_use]
pub fn write(list: &[String]) -> String {
    list.join(",")
}

/// The list when the traffic is about to leave `alone`, which has all of it; what it was taken back from before is
/// forgotten.
#[must_use]
pub fn noted(mut list: Vec<String>, alone: Option<&str>) -> Vec<String> {
    let Some(alone) = alone else { return list };
    match list.iter().position(|name| name == alone) {
        Some(at) => drop(list.drain(..at)),
        None => list.insert(0, alone.into()),
    }
    list.truncate(KEPT);
    list
}

/// The list once all traffic went back to `revision`.
#[must_use]
pub fn back(mut list: Vec<String>, revision: &str) -> Vec<String> {
    if let Some(at) = list.iter().position(|name| name == revision) {
        list.drain(..=at);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_undo_goes_one_further_and_a_canary_is_never_among_them() {
        let list = noted(Vec::new(), Some("1"));
        // Revision 2 is a canary that is given up: nobody has all of the traffic meanwhile.
        let list = noted(list, None);
        let list = back(list, "1");
        assert_eq!(list, Vec::<String>::new());
        // Revision 3 gets all of it, then 4.
        let list = noted(noted(list, Some("1")), Some("3"));
        assert_eq!(write(&list), "3,1");
        assert_eq!(write(&back(list.clone(), "3")), "1");
        assert_eq!(write(&back(list.clone(), "1")), "");
        // From 4 back to 1 by hand, and on to 5: what 1 is put in place of again is not come back to.
        assert_eq!(write(&noted(read("4,3, 1"), Some("1"))), "1");
    }
}
