import type { NatsLink } from '@belfry/adapter-nats';
import type { Messenger } from '@belfry/actor-runtime';
import { wireError } from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';

const SUBSCRIPTION_ENDED = 'a subscription ended with an error';

/** Ask and tell over plain NATS. */
export function natsMessenger(link: NatsLink, log: Log): Messenger {
  const { nc } = link;
  return {
    tell: (subject, body) => {
      // The client would take a `TextEncoder`, which is several times slower for small texts.
      if (!nc.isClosed()) nc.publish(subject, typeof body === 'string' ? Buffer.from(body) : body);
    },
    ask: async (subject, body, timeoutMs) => (await nc.request(subject, body, { timeout: timeoutMs })).data,
    serve: (subject, handler) => {
      const subscription = nc.subscribe(subject, {
        callback: (error, message) => {
          if (error !== null) return log.warn(SUBSCRIPTION_ENDED, { subject, error: error.message });
          const fail = (thrown: unknown): void => {
            log.error('a request failed', { subject: message.subject, error: String(thrown) });
            message.respond(
              JSON.stringify({ error: wireError('internal', 'the request failed; the log has the details') }),
            );
          };
          try {
            Promise.resolve(handler(message.data, message.subject)).then((reply) => message.respond(reply), fail);
          } catch (thrown) {
            fail(thrown);
          }
        },
      });
      return () => subscription.unsubscribe();
    },
    listen: (subject, handler) => {
      const subscription = nc.subscribe(subject, {
        callback: (error, message) => {
          if (error !== null) return log.warn(SUBSCRIPTION_ENDED, { subject, error: error.message });
          handler(message.data, message.subject);
        },
      });
      return () => subscription.unsubscribe();
    },
  };
}
