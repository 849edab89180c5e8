package egress

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	dnsPort = 53
	// dnsTTL is the life of an answer in seconds: the run.
	dnsTTL = 600
	// maxMessage bounds one message over a stream, in bytes.
	maxMessage = 64<<10 - 1
)

// answerAddress is the address that stands for the n-th name: 198.18.0.0/15 is
// reserved for measurements (RFC 2544) and no host of anybody.
func answerAddress(n int) netip.Addr {
	n++ // not the network's own address
	return netip.AddrFrom4([4]byte{198, 18 + byte(n>>16&1), byte(n >> 8), byte(n)})
}

// answer records the question of a message and makes the reply: an address of
// its own for each name, and nothing for types other than A. nil is no reply.
func (s *Sinkhole) answer(message []byte, process int, server string) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(message)
	if err != nil || header.Response {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	name := strings.TrimSuffix(question.Name.String(), ".")
	address := s.asked(Query{
		Process: process, Server: server, Name: name, Type: strings.TrimPrefix(question.Type.String(), "Type"), Time: time.Now().UTC(),
	})
	builder := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: header.ID, Response: true, OpCode: header.OpCode, Authoritative: true,
		RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
	})
	builder.EnableCompression()
	reply, err := finishAnswer(&builder, question, address)
	if err != nil {
		return nil
	}
	return reply
}

func finishAnswer(b *dnsmessage.Builder, question dnsmessage.Question, address netip.Addr) ([]byte, error) {
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(question); err != nil {
		return nil, err
	}
	if question.Type == dnsmessage.TypeA && question.Class == dnsmessage.ClassINET && address.IsValid() {
		if err := b.StartAnswers(); err != nil {
			return nil, err
		}
		header := dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: dnsTTL}
		if err := b.AResource(header, dnsmessage.AResource{A: address.As4()}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// asked records a query and returns the address that stands for the name.
func (s *Sinkhole) asked(q Query) netip.Addr {
	find := s.finder()
	find.look([]byte(q.Name + "\n" + strings.ReplaceAll(q.Name, ".", "")))
	q.Canaries = find.names()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queries) < sinkMaxQueries {
		s.queries = append(s.queries, q)
	} else {
		s.dropped++
	}
	key := strings.ToLower(q.Name)
	if address, ok := s.given[key]; ok {
		return address
	}
	if len(s.given) >= sinkMaxQueries {
		return netip.Addr{}
	}
	address := answerAddress(len(s.given))
	s.given[key] = address
	s.names[address] = q.Name
	return address
}

// answerStream answers messages over TCP, each behind its length (RFC 1035, 4.2.2).
func (s *Sinkhole) answerStream(conn net.Conn, process int, server string) {
	_ = conn.SetDeadline(time.Now().Add(sinkFlowTime))
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, message); err != nil {
			return
		}
		reply := s.answer(message, process, server)
		if reply == nil || len(reply) > maxMessage {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}
