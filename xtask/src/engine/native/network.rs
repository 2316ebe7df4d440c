//! Network devices of a namespace: names, addresses, a bridge (netdevice(7), and the ioctls of
//! linux/if_bridge.h), and pairs of virtual Ethernet devices, which only rtnetlink(7) makes.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use super::sys::check;

/// The name of the loopback.
pub(super) const LOOPBACK: &str = "lo";

/// Make a bridge; put a device on one.
const SIOCBRADDBR: libc::c_ulong = 0x89a0;
const SIOCBRADDIF: libc::c_ulong = 0x89a2;

/// The devices of one network namespace, also after this process has left it.
pub(super) struct Devices(UdpSocket);

impl Devices {
    /// Those of the namespace that this process is in.
    pub(super) fn here() -> io::Result<Self> {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map(Devices)
    }

    /// Brings the device `name` up.
    pub(super) fn up(&self, name: &str) -> io::Result<()> {
        let mut request = request(name)?;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        self.ask(libc::SIOCSIFFLAGS, &mut request)
    }

    /// Gives the device `name` an address, in a network of that mask.
    pub(super) fn address(&self, name: &str, at: Ipv4Addr, mask: Ipv4Addr) -> io::Result<()> {
        for (what, value) in [(libc::SIOCSIFADDR, at), (libc::SIOCSIFNETMASK, mask)] {
            let mut request = request(name)?;
            request.ifr_ifru.ifru_addr = socket_address(value);
            self.ask(what, &mut request)?;
        }
        Ok(())
    }

    /// Makes a bridge.
    pub(super) fn bridge(&self, name: &str) -> io::Result<()> {
        let mut request = request(name)?;
        self.ask(SIOCBRADDBR, &mut request) // reads the name, with which an `ifreq` begins
    }

    /// Puts the device `name` on a bridge.
    pub(super) fn join(&self, bridge: &str, name: &str) -> io::Result<()> {
        let mut found = request(name)?;
        self.ask(libc::SIOCGIFINDEX, &mut found)?;
        let mut request = request(bridge)?;
        // SAFETY: SIOCGIFINDEX has written this member.
        request.ifr_ifru.ifru_ifindex = unsafe { found.ifr_ifru.ifru_ifindex };
        self.ask(SIOCBRADDIF, &mut request)
    }

    fn ask(&self, what: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: these requests read and write an `ifreq`, which lives until the call returns.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), what, &raw mut *request) }.into())
    }
}

/// A request about the device `name`.
fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain data; all zeroes is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    Ok(request)
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: `sockaddr` is plain data; all zeroes is a valid one.
    let mut found: libc::sockaddr = unsafe { std::mem::zeroed() };
    found.sa_family = libc::AF_INET as libc::sa_family_t;
    for (to, from) in found.sa_data[2..].iter_mut().zip(address.octets()) {
        *to = from.cast_signed() as libc::c_char; // behind the port, as in `sockaddr_in`
    }
    found
}

/// A conversation with the kernel about one network namespace, also after this process has
/// left it (rtnetlink(7)).
pub(super) struct Route(OwnedFd);

impl Route {
    /// About the namespace that this process is in.
    pub(super) fn here() -> io::Result<Self> {
        let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
        Ok(Route(socket_with(family, SocketType::RAW, flags, None)?))
    }

    /// Makes a pair of Ethernet devices: `here`, and `there` in another namespace.
    pub(super) fn pair(&self, here: &str, there: &str, namespace: &File) -> io::Result<()> {
        let message = pair(here, there, namespace.as_raw_fd().cast_unsigned());
        send(&self.0, &message, SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (_, length) = recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        // `nlmsgerr` behind the header: a negative error number, or 0.
        let code = answer[..length.min(4096)].get(16..20);
        let code =
            code.and_then(|bytes| bytes.try_into().ok()).map_or(-libc::EIO, i32::from_ne_bytes);
        if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
    }
}

/// Attributes of a link (linux/if_link.h, linux/veth.h).
const IFNAME: u16 = 3;
const LINKINFO: u16 = 18;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const NAMESPACE: u16 = 28;

/// The message that asks for a pair of devices.
fn pair(here: &str, there: &str, namespace: u32) -> Vec<u8> {
    const NEW_LINK: u16 = 16;
    const REQUEST_ACK_EXCL_CREATE: u16 = 0x1 | 0x4 | 0x200 | 0x400;
    const INFO: [u8; 16] = [0; 16]; // `ifinfomsg`: any family, any index, no flags
    let peer = [
        INFO.to_vec(),
        attribute(IFNAME, &name(there)),
        attribute(NAMESPACE, &namespace.to_ne_bytes()),
    ];
    let data = attribute(VETH_PEER, &peer.concat());
    let link = [attribute(INFO_KIND, &name("veth")), attribute(INFO_DATA, &data)];
    let body = [INFO.to_vec(), attribute(IFNAME, &name(here)), attribute(LINKINFO, &link.concat())];
    let body = body.concat();
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    [
        &length.to_ne_bytes()[..],
        &NEW_LINK.to_ne_bytes(),
        &REQUEST_ACK_EXCL_CREATE.to_ne_bytes(),
        &[0; 8], // sequence number, and who asks: one question, one answer
        &body,
    ]
    .concat()
}

fn name(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// Length, kind and value, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_how_long_it_and_its_parts_are() {
        let message = pair("t2", "eth0", 7);
        assert_eq!(message.len(), 16 + 16 + 8 + 4 + 12 + 4 + 4 + 16 + 12 + 8);
        assert_eq!(message[..4], u32::try_from(message.len()).unwrap().to_ne_bytes());
        assert_eq!(
            attribute(3, b"abcde"),
            [&9u16.to_ne_bytes()[..], &[3, 0], b"abcde\0\0\0"].concat()
        );
    }

    #[test]
    fn a_name_that_no_device_can_have_is_refused() {
        assert!(request("0123456789abcde").is_ok());
        assert_eq!(
            request("0123456789abcdef").err().unwrap().raw_os_error(),
            Some(libc::ENAMETOOLONG)
        );
    }
}
