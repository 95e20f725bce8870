/* A consumer of a program's own: takes messages from a queue, works on each, and replies to whoever wants a reply.
 *
 * usage: consumer QUEUE [LOG]
 *
 * Where to connect and how to log in come from the variables that `streamharness testbed env` prints. It waits for the queue, and
 * ends when the queue is deleted. Each line of LOG has the producer and the number of a message, and the nanoseconds from its
 * delivery to its reply. Build it with: cc -O2 -o consumer consumer.c -lrabbitmq   (Debian: librabbitmq-dev, 0.11 or newer)
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else /* Version 0.11 and before. */
#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

enum { FRAME_MAX = 131072, PREFETCH = 64, WAIT_TENTHS = 600, CHANNELS = WAIT_TENTHS + 1 };

static void fail(const char *what) {
    fprintf(stderr, "consumer: %s\n", what);
    exit(1);
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    if (!value) fail("the variables of `streamharness testbed env` are not set");
    return value;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int is_fine(amqp_rpc_reply_t reply) { return reply.reply_type == AMQP_RESPONSE_NORMAL; }

/* Connects to the first address and logs in, with TLS if the URL asks for it. */
static amqp_connection_state_t connect_to_service(void) {
    char url[512], password[256] = "";
    snprintf(url, sizeof url, "%s", variable("STREAMHARNESS_URLS"));
    url[strcspn(url, ",")] = '\0';
    FILE *file = fopen(variable("STREAMHARNESS_PASSWORD_FILE"), "r");
    if (!file || !fgets(password, sizeof password, file)) fail("the password's file cannot be read");
    fclose(file);
    password[strcspn(password, "\n")] = '\0';

    struct amqp_connection_info to;
    if (amqp_parse_url(url, &to) != AMQP_STATUS_OK) fail("the URL of the service cannot be read");
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = to.ssl ? amqp_ssl_socket_new(connection) : amqp_tcp_socket_new(connection);
    if (to.ssl) amqp_ssl_socket_set_cacert(socket, variable("STREAMHARNESS_CA"));
    if (amqp_socket_open(socket, to.host, to.port) != AMQP_STATUS_OK) fail("the service is not reached");
    int on = 1;
    setsockopt(amqp_get_sockfd(connection), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* The service is to report when the queue is deleted. */
    amqp_table_entry_t notify = {
        .key = amqp_cstring_bytes("consumer_cancel_notify"),
        .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1},
    };
    amqp_table_entry_t capabilities = {
        .key = amqp_cstring_bytes("capabilities"),
        .value = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {.num_entries = 1, .entries = &notify}},
    };
    amqp_table_t properties = {.num_entries = 1, .entries = &capabilities};
    if (!is_fine(amqp_login_with_properties(connection, to.vhost, CHANNELS, FRAME_MAX, 0, &properties, AMQP_SASL_METHOD_PLAIN,
                                            to.user, password)))
        fail("the service refuses the login");
    return connection;
}

/* A channel, once the queue is there: a refusal closes a channel. */
static amqp_channel_t channel_with(amqp_connection_state_t connection, amqp_bytes_t queue) {
    for (amqp_channel_t channel = 1; channel <= WAIT_TENTHS; channel++) {
        amqp_channel_open(connection, channel);
        amqp_queue_declare(connection, channel, queue, 1, 0, 0, 0, amqp_empty_table);
        amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
        if (is_fine(reply)) return channel;
        if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION || reply.reply.id != AMQP_CHANNEL_CLOSE_METHOD) break;
        amqp_channel_close_ok_t closed;
        amqp_send_method(connection, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &closed);
        struct timespec pause = {0, 100000000};
        nanosleep(&pause, NULL);
    }
    fail("there is no such queue");
    return 0;
}

/* Your own analysis goes here: this one counts the bytes that are not zero. */
static size_t analyse(amqp_bytes_t body) {
    size_t count = 0;
    for (size_t at = 0; at < body.len; at++) count += ((const char *)body.bytes)[at] != 0;
    return count;
}

/* Replies to the default exchange, by the name of the queue for replies, with the envelope as it came. */
static void reply(amqp_connection_state_t connection, amqp_channel_t channel, const amqp_basic_properties_t *to, size_t result,
                  int64_t own_ns) {
    char text[32];
    snprintf(text, sizeof text, "%zu", result);
    amqp_table_entry_t own = {.key = amqp_cstring_bytes("own_ns"), .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = own_ns}};
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_HEADERS_FLAG,
        .correlation_id = to->correlation_id,
        .headers = {.num_entries = 1, .entries = &own},
    };
    if (amqp_basic_publish(connection, channel, amqp_empty_bytes, to->reply_to, 0, 0, &properties, amqp_cstring_bytes(text)) !=
        AMQP_STATUS_OK)
        fail("a reply cannot be sent");
}

/* The producer and the number of a message, from its envelope. */
static void write_line(FILE *log, amqp_bytes_t envelope, int64_t own_ns) {
    char text[128];
    unsigned producer;
    uint64_t sequence;
    snprintf(text, sizeof text, "%.*s", (int)envelope.len, (const char *)envelope.bytes);
    if (sscanf(text, "%*8c-%6x-%12" SCNx64, &producer, &sequence) == 2)
        fprintf(log, "%u %" PRIu64 " %" PRId64 "\n", producer, sequence, own_ns);
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) fail("usage: consumer QUEUE [LOG]");
    FILE *log = argc == 3 ? fopen(argv[2], "w") : NULL;
    amqp_bytes_t queue = amqp_cstring_bytes(argv[1]);
    amqp_connection_state_t connection = connect_to_service();
    amqp_channel_t channel = channel_with(connection, queue);
    amqp_basic_qos(connection, channel, 0, PREFETCH, 0);
    amqp_basic_consume(connection, channel, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    if (!is_fine(amqp_get_rpc_reply(connection))) fail("the service does not deliver from the queue");
    for (;;) {
        amqp_envelope_t message;
        amqp_maybe_release_buffers(connection);
        amqp_rpc_reply_t got = amqp_consume_message(connection, &message, NULL, 0);
        if (!is_fine(got)) {
            amqp_frame_t frame;
            /* It ends when the queue is deleted: the service cancels the subscription. */
            if (got.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && got.library_error == AMQP_STATUS_UNEXPECTED_STATE &&
                amqp_simple_wait_frame(connection, &frame) == AMQP_STATUS_OK && frame.frame_type == AMQP_FRAME_METHOD &&
                frame.payload.method.id == AMQP_BASIC_CANCEL_METHOD)
                break;
            fail("the connection was lost");
        }
        int64_t delivered_ns = now_ns();
        const amqp_basic_properties_t *properties = &message.message.properties;
        size_t result = analyse(message.message.body);
        int64_t own_ns = now_ns() - delivered_ns;
        if (properties->_flags & AMQP_BASIC_REPLY_TO_FLAG) reply(connection, channel, properties, result, own_ns);
        amqp_basic_ack(connection, channel, message.delivery_tag, 0);
        if (log) write_line(log, properties->correlation_id, own_ns);
        amqp_destroy_envelope(&message);
    }
    if (log) fclose(log);
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
    return 0;
}
