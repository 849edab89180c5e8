package conformance

func network() []behaviour {
	return []behaviour{
		{name: "connect", title: "connect by TCP and UDP, also in vain"},
		{name: "sendto", title: "sendto, with AF_UNSPEC too"},
		{name: "sendmsg", title: "sendmsg, and sendmmsg to two addresses"},
		{name: "fast-open", title: "TCP fast open, by sendto and by a connect that is put off"},
		{name: "bind-listen", title: "bind and listen, with the port that the kernel chose"},
		{name: "inet6", title: "IPv6, and an IPv4-mapped address"},
		{name: "unix-path", title: "unix sockets with a path, through a symlink too"},
		{name: "unix-abstract", title: "unix sockets with an abstract name"},
		{name: "netlink", title: "netlink"},
		{name: "raw-socket", title: "raw and packet sockets, which the kernel denies"},
		{name: "passed-descriptor", title: "a descriptor passed over a socket", unobserved: "files opened by a descriptor that another process passed"},
	}
}
