/* A minimal client over librabbitmq, to compare ours with: one producer or one consumer of one queue.
 *
 *   rabbitmq producer URL QUEUE MESSAGES BYTES ENVELOPE UNCONFIRMED RESUME
 *   rabbitmq consumer URL QUEUE MESSAGES BYTES PREFETCH ACKS
 *
 * A producer with UNCONFIRMED messages in flight waits until RESUME are left; 0 is without confirms. A consumer
 * acknowledges every ACKS messages, and the last one. Each prints `ready` once it is connected, starts at a line on
 * stdin, and prints its result as JSON. STREAMHARNESS_PASSWORD_FILE has the password, STREAMHARNESS_CA the authority
 * for amqps.
 *
 * CPU time is that of the process from the line on stdin to its last message: for a producer until the last confirm, or,
 * without confirms, until the service has read everything and replied to `channel.close`.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>

enum { CHANNEL = 1, FRAME_MAX = 131072, LIMIT_S = 120, TRANSIENT = 1 };

struct usage {
  double at_s, cpu_s;
};

static _Noreturn void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("rabbitmq: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

/* Ends the program with the service's reason or the library's, if a request failed. */
static void check(amqp_rpc_reply_t reply, const char *what) {
  if (reply.reply_type == AMQP_RESPONSE_NORMAL)
    return;
  if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION)
    die("%s: %s", what, amqp_error_string2(reply.library_error));
  amqp_bytes_t text = {0};
  if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
    text = ((amqp_connection_close_t *)reply.reply.decoded)->reply_text;
  else if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
    text = ((amqp_channel_close_t *)reply.reply.decoded)->reply_text;
  die("%s: method 0x%08" PRIX32 " %.*s", what, reply.reply.id, (int)text.len, (char *)text.bytes);
}

static void check_status(int status, const char *what) {
  if (status < 0)
    die("%s: %s", what, amqp_error_string2(status));
}

static uint64_t number(const char *text) {
  char *end;
  errno = 0;
  uint64_t value = strtoull(text, &end, 10);
  if (errno || end == text || *end)
    die("not a number: %s", text);
  return value;
}

static struct usage usage(void) {
  struct timespec now;
  struct rusage used;
  clock_gettime(CLOCK_MONOTONIC, &now);
  getrusage(RUSAGE_SELF, &used);
  return (struct usage){
      .at_s = now.tv_sec + now.tv_nsec / 1e9,
      .cpu_s = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
  };
}

/* The largest resident set in KiB. That of getrusage includes the parent's before exec. */
static long max_rss_kib(void) {
  char line[256];
  long kib = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && !kib && fgets(line, sizeof line, status))
    sscanf(line, "VmHWM: %ld", &kib);
  if (status)
    fclose(status);
  return kib;
}

static void report(double first_s, struct usage start, struct usage end) {
  printf("{\"first_s\": %.9f, \"last_s\": %.9f, \"cpu_s\": %.6f, \"max_rss_kib\": %ld}\n", first_s, end.at_s,
         end.cpu_s - start.cpu_s, max_rss_kib());
}

/* Returns at a line on stdin; its end means that nobody waits for a result any more. */
static struct usage start(void) {
  puts("ready");
  fflush(stdout);
  if (getchar() != '\n')
    exit(1);
  return usage();
}

static amqp_connection_state_t open_connection(char *url) {
  struct amqp_connection_info info;
  amqp_default_connection_info(&info);
  check_status(amqp_parse_url(url, &info), "URL");

  char password[256] = "";
  const char *path = getenv("STREAMHARNESS_PASSWORD_FILE");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (!file || !fgets(password, sizeof password, file))
    die("set STREAMHARNESS_PASSWORD_FILE to a file with the password");
  fclose(file);
  password[strcspn(password, "\r\n")] = 0;

  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = info.ssl ? amqp_ssl_socket_new(connection) : amqp_tcp_socket_new(connection);
  if (!socket)
    die("no memory for the socket");
  if (info.ssl)
    check_status(amqp_ssl_socket_set_cacert(socket, getenv("STREAMHARNESS_CA")), "STREAMHARNESS_CA");
  check_status(amqp_socket_open(socket, info.host, info.port), "connect");
  check(amqp_login(connection, info.vhost, 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, info.user, password), "login");
  amqp_channel_open(connection, CHANNEL);
  check(amqp_get_rpc_reply(connection), "channel.open");
  return connection;
}

/* The messages in flight: a flag for each place, and the oldest of them. */
struct window {
  unsigned char *waits;
  uint64_t places, oldest, published;
};

static uint64_t in_flight(const struct window *window) {
  return window->published + 1 - window->oldest;
}

/* Reads one frame, which is to be a confirm. */
static void take_confirm(amqp_connection_state_t connection, struct window *window) {
  amqp_frame_t frame;
  amqp_maybe_release_buffers(connection);
  check_status(amqp_simple_wait_frame(connection, &frame), "confirm");
  amqp_method_t method = frame.payload.method;
  if (frame.frame_type != AMQP_FRAME_METHOD || method.id != AMQP_BASIC_ACK_METHOD)
    check((amqp_rpc_reply_t){.reply_type = AMQP_RESPONSE_SERVER_EXCEPTION, .reply = method}, "confirm");
  amqp_basic_ack_t *ack = method.decoded;
  if (ack->delivery_tag < window->oldest || ack->delivery_tag > window->published)
    die("message %" PRIu64 " is confirmed and was not in flight", ack->delivery_tag);
  for (uint64_t tag = ack->multiple ? window->oldest : ack->delivery_tag; tag <= ack->delivery_tag; tag++)
    window->waits[tag % window->places] = 0;
  while (in_flight(window) && !window->waits[window->oldest % window->places])
    window->oldest++;
}

static void produce(amqp_connection_state_t connection, const char *queue, uint64_t messages, size_t bytes,
                    const char *envelope, uint64_t unconfirmed, uint64_t resume) {
  struct window window = {.waits = calloc(unconfirmed + 1, 1), .places = unconfirmed + 1, .oldest = 1};
  amqp_bytes_t body = {.len = bytes, .bytes = malloc(bytes)};
  if (!window.waits || !body.bytes)
    die("no memory for %zu bytes", bytes);
  memset(body.bytes, 0x5a, bytes);
  if (unconfirmed) {
    amqp_confirm_select(connection, CHANNEL);
    check(amqp_get_rpc_reply(connection), "confirm.select");
  }
  amqp_basic_properties_t properties = {
      ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
      .content_type = amqp_cstring_bytes("application/octet-stream"),
      .delivery_mode = TRANSIENT,
      .correlation_id = amqp_cstring_bytes(envelope),
  };

  struct usage began = start();
  for (uint64_t n = 0; n < messages; n++) {
    /* Mandatory with confirms, as ours: the service may not confirm what no queue has. */
    check_status(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(queue), unconfirmed > 0,
                                    0, &properties, body),
                 "publish");
    if (!unconfirmed)
      continue;
    window.waits[++window.published % window.places] = 1;
    if (in_flight(&window) == unconfirmed)
      while (in_flight(&window) > resume)
        take_confirm(connection, &window);
  }
  while (unconfirmed && in_flight(&window))
    take_confirm(connection, &window);
  if (!unconfirmed)
    check(amqp_channel_close(connection, CHANNEL, AMQP_REPLY_SUCCESS), "channel.close");
  report(began.at_s, began, usage());
}

static void consume(amqp_connection_state_t connection, const char *queue, uint64_t messages, size_t bytes,
                    uint16_t prefetch, uint64_t acks) {
  /* It goes with its consumer. */
  int auto_delete = 1;
  amqp_queue_declare(connection, CHANNEL, amqp_cstring_bytes(queue), 0, 0, 0, auto_delete, amqp_empty_table);
  check(amqp_get_rpc_reply(connection), "queue.declare");
  amqp_basic_qos(connection, CHANNEL, 0, prefetch, 0);
  check(amqp_get_rpc_reply(connection), "basic.qos");
  amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(connection), "basic.consume");

  struct usage began = start();
  double first_s = 0;
  for (uint64_t n = 1; n <= messages; n++) {
    amqp_envelope_t envelope;
    amqp_maybe_release_buffers(connection);
    check(amqp_consume_message(connection, &envelope, NULL, 0), "delivery");
    if (n == 1)
      first_s = usage().at_s;
    if (envelope.message.body.len != bytes)
      die("message %" PRIu64 " has %zu bytes", n, envelope.message.body.len);
    if (n % acks == 0 || n == messages)
      check_status(amqp_basic_ack(connection, CHANNEL, envelope.delivery_tag, 1), "ack");
    amqp_destroy_envelope(&envelope);
  }
  report(first_s, began, usage());
}

int main(int count, char **arguments) {
  int produces = count == 9 && !strcmp(arguments[1], "producer");
  int consumes = count == 8 && !strcmp(arguments[1], "consumer");
  if (!produces && !consumes)
    die("usage: producer URL QUEUE MESSAGES BYTES ENVELOPE UNCONFIRMED RESUME, or consumer URL QUEUE MESSAGES BYTES "
        "PREFETCH ACKS");
  alarm(LIMIT_S);
  amqp_connection_state_t connection = open_connection(arguments[2]);
  uint64_t messages = number(arguments[4]), bytes = number(arguments[5]);
  if (produces)
    produce(connection, arguments[3], messages, bytes, arguments[6], number(arguments[7]), number(arguments[8]));
  else
    consume(connection, arguments[3], messages, bytes, (uint16_t)number(arguments[6]), number(arguments[7]));
  check(amqp_connection_close(connection, AMQP_REPLY_SUCCESS), "connection.close");
  amqp_destroy_connection(connection);
  return 0;
}
