// A consumer of a program's own: takes messages from a queue, works on each, and replies to whoever wants a reply.
//
// usage: consumer QUEUE [LOG]
//
// Where to connect and how to log in come from the variables that `streamharness testbed env` prints. It waits for the queue, and
// ends when the queue is deleted. Each line of LOG has the producer and the number of a message, and the nanoseconds from its
// delivery to its reply. Build it with Debian's packages golang-go and golang-github-rabbitmq-amqp091-go-dev:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o consumer consumer.go
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	prefetch = 64
	wait     = time.Minute
)

// connect dials the first address and logs in, with TLS if the URL asks for it.
func connect() (*amqp.Connection, error) {
	service, err := url.Parse(strings.Split(os.Getenv("STREAMHARNESS_URLS"), ",")[0])
	if err != nil {
		return nil, err
	}
	password, err := os.ReadFile(os.Getenv("STREAMHARNESS_PASSWORD_FILE"))
	if err != nil {
		return nil, err
	}
	service.User = url.UserPassword(service.User.Username(), strings.TrimSpace(string(password)))
	if service.Scheme != "amqps" {
		return amqp.Dial(service.String())
	}
	authority, err := os.ReadFile(os.Getenv("STREAMHARNESS_CA"))
	if err != nil {
		return nil, err
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(authority)
	return amqp.DialTLS(service.String(), &tls.Config{RootCAs: trust})
}

// channelWith opens a channel once the queue is there: a refusal closes a channel.
func channelWith(connection *amqp.Connection, queue string) (*amqp.Channel, error) {
	for deadline := time.Now().Add(wait); ; time.Sleep(100 * time.Millisecond) {
		channel, err := connection.Channel()
		if err != nil {
			return nil, err
		}
		_, err = channel.QueueInspect(queue)
		if err == nil || time.Now().After(deadline) {
			return channel, err
		}
	}
}

// identity is the producer and the number of a message, from its envelope.
func identity(envelope string) (producer, sequence uint64) {
	if fields := strings.Split(envelope, "-"); len(fields) == 7 {
		producer, _ = strconv.ParseUint(fields[1], 16, 64)
		sequence, _ = strconv.ParseUint(fields[2], 16, 64)
	}
	return producer, sequence
}

// analyse is where your own analysis goes: this one counts the bytes that are not zero.
func analyse(body []byte) int {
	return len(body) - bytes.Count(body, []byte{0})
}

func run(queue string, lines *bufio.Writer) error {
	connection, err := connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := channelWith(connection, queue)
	if err != nil {
		return err
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	messages, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	// It ends when the queue is deleted: the service cancels the subscription.
	for message := range messages {
		delivered := time.Now()
		result := analyse(message.Body)
		own := time.Since(delivered).Nanoseconds()
		if message.ReplyTo != "" {
			// To the default exchange, by the name of the queue for replies, with the envelope as it came.
			reply := amqp.Publishing{
				CorrelationId: message.CorrelationId,
				Headers:       amqp.Table{"own_ns": own},
				Body:          []byte(strconv.Itoa(result)),
			}
			if err := channel.PublishWithContext(context.Background(), "", message.ReplyTo, false, false, reply); err != nil {
				return err
			}
		}
		if err := message.Ack(false); err != nil {
			return err
		}
		producer, sequence := identity(message.CorrelationId)
		fmt.Fprintln(lines, producer, sequence, own)
	}
	return nil
}

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		log.Fatal("usage: consumer QUEUE [LOG]")
	}
	file := os.DevNull
	if len(os.Args) == 3 {
		file = os.Args[2]
	}
	lines, err := os.Create(file)
	if err != nil {
		log.Fatal(err)
	}
	buffered := bufio.NewWriter(lines)
	if err := run(os.Args[1], buffered); err != nil {
		log.Fatal(err)
	}
	if err := buffered.Flush(); err != nil {
		log.Fatal(err)
	}
}
