//! How long a `Retry-After` asks to wait, in either of its forms (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use sse_proto::client as machine;

/// The time from the answer to what `value` names; none for a date that is past. `None` when it is neither seconds nor a date, in
/// any of the three formats of section 5.6.7.
///
/// A date is the server's, so it is counted from the answer's own `date`: then a clock that is wrong here does no harm. `now` stands
/// in where the server sends none.
pub(super) fn retry_after(value: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let on = |text: &str| httpdate::parse_http_date(text.trim_matches([' ', '\t'])).ok();
    machine::retry_after(value).or_else(|| {
        let answered = date.and_then(on).unwrap_or(now);
        Some(on(value)?.duration_since(answered).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const ANSWERED: u64 = 784_111_777;

    #[test]
    fn seconds_and_dates_of_every_format() {
        let now = UNIX_EPOCH + Duration::from_secs(ANSWERED);
        let check = |value: &str, seconds: Option<u64>| {
            assert_eq!(retry_after(value, None, now), seconds.map(Duration::from_secs), "{value:?}");
        };
        check("120", Some(120));
        check("99999999999999999999999", Some(u64::MAX));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sunday, 06-Nov-94 08:50:37 GMT", Some(60));
        check("Sun Nov  6 08:50:37 1994", Some(60));
        check(" \tSun, 06 Nov 1994 08:50:37 GMT ", Some(60));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:49:36 GMT", Some(0));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799 - ANSWERED));
        for neither in
            ["", "soon", "-1", "1.5", "Sun, 06 Nov 1994 08:50:37", "Sun, 99 Nov 1994 08:50:37 GMT", "1994-11-06T08:50:37Z"]
        {
            check(neither, None);
        }
    }

    #[test]
    fn a_date_counts_from_the_servers_own_clock() {
        let wrong = UNIX_EPOCH + Duration::from_secs(ANSWERED - 86_400);
        let in_a_minute = "Sun, 06 Nov 1994 08:50:37 GMT";
        let check = |date, seconds| assert_eq!(retry_after(in_a_minute, date, wrong), Some(Duration::from_secs(seconds)));
        check(Some("Sun, 06 Nov 1994 08:49:37 GMT"), 60);
        check(Some("yesterday"), 86_460);
        check(None, 86_460);
    }
}
