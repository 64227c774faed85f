//! Addresses that lead inside, in all notations, and addresses that do not.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use isotherm_lab::scripted_names::ScriptedNames;

/// What names turn to.
pub(super) const INSIDE: [&str; 8] =
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00:ec2::254", "::ffff:127.0.0.1", "0.0.0.0"];

/// First, last and well-known addresses of every range of IPv4 that is not public.
const V4: [&str; 38] = [
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "10.0.0.0",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.0.0.53",
    "127.1.2.3",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "172.16.0.1",
    "172.17.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
];

/// The same of IPv6.
const V6: [&str; 36] = [
    "::",
    "::1",
    "0:0:0:0:0:0:0:1",
    "0000:0000:0000:0000:0000:0000:0000:0001",
    "::2",
    "::ffff:0:1",
    "1::1",
    "64:ff9b::1",
    "64:ff9b:1::1",
    "64:ff9b:1:ffff::1",
    "100::1",
    "100:0:0:1::1",
    "200::1",
    "400::1",
    "1000::1",
    "1fff::1",
    "2001::1",
    "2001:2::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff::1",
    "2001:db8::1",
    "2001:db8:ffff::1",
    "2002::1",
    "2620:4f:8000::1",
    "3ffe::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
];

/// Names that nobody outside has.
const RESERVED: [&str; 24] = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "LocalHost.",
    "a.localhost",
    "localhost.localhost",
    "ip6-localhost",
    "localhost.localdomain.local",
    "metadata",
    "metadata.google.internal",
    "metadata.google.internal.",
    "instance-data.ec2.internal",
    "printer.local",
    "router.home.arpa",
    "intranet",
    "postgres",
    "kubernetes",
    "nothing.test",
    "nothing.invalid",
    "nothing.example",
    "abcdefghijklmnop.onion",
    "name.alt",
    "%6cocalhost",
    "\u{24db}ocalhost",
];

/// Whole addresses that are none, or say one thing to one program and another to the next. `PORT` is the port of the inner door.
const SHAPES: [&str; 48] = [
    "",
    " ",
    "/",
    "hooks",
    "hooks.example.com",
    "//127.0.0.1:PORT/",
    "http://127.0.0.1:PORT/",
    "HTTP://127.0.0.1:PORT/",
    "http://[::1]:PORT/",
    "http://localhost:PORT/",
    "http://outside.example.com/",
    "ftp://outside.example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/_x",
    "dict://127.0.0.1:PORT/",
    "ldap://127.0.0.1:PORT/",
    "ws://127.0.0.1:PORT/",
    "wss://127.0.0.1:PORT/",
    "jar:https://127.0.0.1:PORT/!/",
    "data:text/plain,x",
    "javascript:1",
    "https:127.0.0.1:PORT",
    "https:/127.0.0.1:PORT/",
    "https:///127.0.0.1:PORT/",
    "https://",
    "https:///",
    "https://:PORT/",
    "https://@127.0.0.1:PORT/",
    "https://user@outside.example.com/",
    "https://user:word@outside.example.com/",
    "https://outside.example.com@127.0.0.1:PORT/",
    "https://outside.example.com:443@127.0.0.1:PORT/",
    "https://127.0.0.1:PORT\\@outside.example.com/",
    "https://outside.example.com\\@127.0.0.1:PORT/",
    "https://outside.example.com#@127.0.0.1:PORT/",
    "https://outside.example.com/#a",
    "https://127.0.0.1:PORT#.example.com/",
    "https://127.0.0.1:PORT?.example.com/",
    "https://outside.example.com /",
    "https://outside.example.com\t/",
    "https://outside.example.com/\r\nHost: 127.0.0.1",
    " https://outside.example.com/",
    "https://outside.example.com:22/",
    "https://outside.example.com:80/",
    "https://outside.example.com:0/",
    "https://outside.example.com:65536/",
    "https://[fe80::1%25lo]:PORT/",
    "https://[::1/",
];

/// One address in every notation that some program reads.
fn notations(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let bits = address.to_bits();
    let (low_24, low_16) = (bits & 0xff_ffff, bits & 0xffff);
    let high_16 = bits >> 16;
    let dotted = address.to_string();
    let percent: String = dotted.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let wide = |letter: char| match letter.to_digit(10) {
        Some(digit) => char::from_u32(0xff10 + digit).unwrap(),
        None => '\u{3002}',
    };
    vec![
        dotted.clone(),
        format!("{bits}"),
        format!("{bits:#010x}"),
        format!("0{bits:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a:#x}.0{b:o}.{low_16}"),
        format!("{a}.{low_24}"),
        format!("{a}.{b}.{low_16}"),
        format!("{dotted}."),
        percent,
        dotted.chars().map(wide).collect(),
        format!("[::ffff:{dotted}]"),
        format!("[::ffff:{high_16:x}:{low_16:x}]"),
        format!("[0:0:0:0:0:ffff:{high_16:x}:{low_16:x}]"),
        format!("[::{dotted}]"),
        format!("[::ffff:0:{dotted}]"),
        format!("[64:ff9b::{dotted}]"),
        format!("[64:ff9b:1::{dotted}]"),
        format!("[2002:{high_16:x}:{low_16:x}::1]"),
        format!("[2001:0:4136:e378:8000:63bf:{:x}:{:x}]", 0xffff ^ high_16, 0xffff ^ low_16),
    ]
}

/// Addresses that are to be refused; `port` is that of the door which counts who comes in.
pub(super) fn bad(port: u16, names: &ScriptedNames) -> Vec<String> {
    let outside: IpAddr = "93.184.215.14".parse().unwrap();
    names.set("outside.example.com", [vec![outside]]);
    let mut all = BTreeSet::new();
    for address in V4 {
        for host in notations(address.parse().unwrap()) {
            all.insert(format!("https://{host}:{port}/hook"));
        }
    }
    all.extend(V6.map(|address| format!("https://[{address}]:{port}/hook")));
    all.extend(RESERVED.map(|name| format!("https://{name}:{port}/hook")));
    all.extend(SHAPES.map(|shape| shape.replace("PORT", &port.to_string())));
    all.insert(format!("https://outside.example.com/{}", "a".repeat(2048)));
    for (i, address) in V4.iter().chain(&V6).enumerate() {
        let inside: IpAddr = address.parse().unwrap();
        let answers = match i % 4 {
            0 | 1 => vec![inside],
            2 => vec![outside, inside],
            _ => vec![inside, outside],
        };
        let name = format!("leads-inside-{i}.example.com");
        names.set(&name, [answers]);
        all.insert(format!("https://{name}/hook"));
    }
    all.into_iter().collect()
}

/// An address that is not to be refused.
pub(super) struct Good {
    pub(super) text: String,
    /// What TLS is to ask for; `None` for an address without a name.
    pub(super) name: Option<String>,
}

const PUBLIC_V4: [&str; 20] = [
    "1.1.1.1",
    "8.8.8.8",
    "9.9.9.9",
    "11.0.0.1",
    "52.95.110.1",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.1",
    "126.1.1.1",
    "128.0.0.1",
    "151.101.1.1",
    "168.63.129.17",
    "169.253.1.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.1.1",
    "192.169.1.1",
    "198.20.0.1",
    "223.255.255.254",
];
const PUBLIC_V6: [&str; 10] = [
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db9::1",
    "2003::1",
    "2400:cb00::1",
    "2600:1f18::1",
    "2606:4700:4700::1111",
    "2620:fe::fe",
    "2a00:1450:4001:80b::200e",
    "2c0f:fb50::1",
];
/// What comes after the host, and ways to write one: `NAME` is a name, `PORT` the port of the public door.
const FORMS: [&str; 14] = [
    "https://NAME",
    "https://NAME/",
    "https://NAME/hook",
    "https://NAME:443/hook",
    "https://NAME:PORT/hook",
    "https://NAME./hook",
    "HTTPS://NAME/hook",
    "https://NAME/T000/B000/abc~_-.!$&'()*+,;=:@",
    "https://NAME/%2e%2e/%00?a=b&c=%20d",
    "https://NAME/?url=https://127.0.0.1/",
    "https://NAME/a@127.0.0.1/",
    "https://NAME/\u{e4}?\u{3b1}=\u{3b2}",
    "https://NAME?q",
    "https://NAME//a//b/../c",
];

/// 200 of them.
pub(super) fn good(port: u16, names: &ScriptedNames) -> Vec<Good> {
    let addresses = |list: &[&str]| list.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect::<Vec<_>>();
    let mut all = Vec::new();
    for address in PUBLIC_V4 {
        all.push(Good { text: format!("https://{address}/hook"), name: None });
    }
    for address in PUBLIC_V6 {
        all.push(Good { text: format!("https://[{address}]:8443/hook"), name: None });
    }
    for i in 0..170_usize {
        // As written, and as it is looked up.
        let (written, name) = match i % 5 {
            0 => (format!("Hooks-{i}.Example.COM"), format!("hooks-{i}.example.com")),
            1 => (format!("b\u{fc}cher.n{i}.example.org"), format!("xn--bcher-kva.n{i}.example.org")),
            2 => (format!("xn--bcher-kva.p{i}.example.org"), format!("xn--bcher-kva.p{i}.example.org")),
            3 => (format!("10.0.0.{i}.example.net"), format!("10.0.0.{i}.example.net")),
            _ => (format!("localhost.my_team-{i}.example.net"), format!("localhost.my_team-{i}.example.net")),
        };
        let (first, second) = (PUBLIC_V4[i % PUBLIC_V4.len()], PUBLIC_V6[i % PUBLIC_V6.len()]);
        let answer = match i % 3 {
            0 => addresses(&[first]),
            1 => addresses(&[second]),
            _ => addresses(&[first, second]),
        };
        names.set(&name, [answer]);
        let text = FORMS[i % FORMS.len()].replace("NAME", &written).replace("PORT", &port.to_string());
        all.push(Good { text, name: Some(name) });
    }
    all
}
