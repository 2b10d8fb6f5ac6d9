//! Variables that are empty count as not set: so it is for AWS's own programs, and its SDK ends in a panic.

/// What the variables that hold AWS's addresses start with.
const ADDRESS: &str = "AWS_ENDPOINT_URL";

/// Takes away addresses that are empty. The first thing of all: no other thread may be there that reads variables.
pub fn taken_away() {
    let blank = |(name, value): &(String, String)| name.starts_with(ADDRESS) && value.trim().is_empty();
    let utf8 =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let names: Vec<String> = utf8.filter(blank).map(|(name, _)| name).collect();
    for name in names {
        // SAFETY: this is the only thread as yet.
        unsafe { std::env::remove_var(name) };
    }
}
