//! Where a `Location` leads, seen from the URL that was asked (RFC 3986, section 5.2).

use axum::http::Uri;

/// The absolute `http` or `https` URL that `location` names; `None` when it names none. Fragments are left out: they are never sent.
pub(super) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.trim_matches([' ', '\t']);
    let reference = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    if let Some((scheme, rest)) = reference.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
        // Only then is a URL with this scheme and no slashes another one.
        return rest.starts_with("//").then(|| absolute(scheme, &rest[2..]))?;
    }
    if let Some(rest) = reference.strip_prefix("//") {
        return absolute(scheme, rest);
    }
    let base_path = if base.path().is_empty() { "/" } else { base.path() };
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let (path, query) = match path {
        "" => (base_path.to_owned(), query.or(base.query())),
        _ if path.starts_with('/') => (without_dots(path), query),
        _ => (without_dots(&format!("{}{path}", &base_path[..=base_path.rfind('/')?])), query),
    };
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    absolute(scheme, &format!("{authority}{path}{query}"))
}

/// Whether both are on one scheme, host and port.
pub(super) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme_str() == b.scheme_str() && host(a) == host(b) && port(a) == port(b)
}

/// A URL a client can ask: `http` or `https`, with a host and without a user. A port is one: what is beyond the last would be taken
/// for none.
pub(super) fn usable(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.authority().is_some_and(|authority| {
            let behind_host = authority.as_str().strip_prefix(authority.host());
            behind_host.is_some_and(|port| matches!(port, "" | ":") || port[1..].parse::<u16>().is_ok())
        })
}

fn absolute(scheme: &str, rest: &str) -> Option<Uri> {
    let uri: Uri = format!("{}://{rest}", scheme.to_ascii_lowercase()).parse().ok()?;
    usable(&uri).then_some(uri)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 5.4, with a base that a client can have.
    #[test]
    fn references_resolve_as_the_rfc_says() {
        let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("//g:81/x", "http://g:81/x"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            (" /g\t", "http://a/g"),
            ("HTTPS://h/x", "https://h/x"),
            ("g?to=http://x/", "http://a/b/c/g?to=http://x/"),
        ] {
            assert_eq!(resolve(&base, reference).unwrap().to_string(), expected, "{reference}");
        }
        for bad in [
            "ftp://x/",
            "javascript:alert(1)",
            "http:g",
            "http://",
            "//",
            "http://user@h/",
            "http://user:1@h:2/",
            "http://h:65536/",
            "/a b",
            "http://[/",
        ] {
            assert_eq!(resolve(&base, bad), None, "{bad}");
        }
        let bare: Uri = "http://a".parse().unwrap();
        assert_eq!(resolve(&bare, "g").unwrap().to_string(), "http://a/g");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let check = |a: &str, b: &str| same_origin(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(check("http://a/x", "http://A:80/y") && check("https://a:443/", "https://a/"));
        assert!(!check("http://a/", "https://a/") && !check("http://a/", "http://a:81/") && !check("http://a/", "http://b/"));
    }
}
