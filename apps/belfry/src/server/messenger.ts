import { isNoResponders, TurnWriter, type NatsLink } from '@belfry/adapter-nats';
import type { Messenger } from '@belfry/actor-runtime';
import { wireError } from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';

const SUBSCRIPTION_ENDED = 'a subscription ended with an error';

/** Ask and tell over plain NATS; what is told to this process itself stays in it. */
export function natsMessenger(link: NatsLink, log: Log): Messenger {
  const { nc } = link;
  const writer = new TurnWriter(nc);
  const here = new Map<string, (body: Uint8Array, subject: string) => void>();
  return {
    tell: (subject, body) => {
      const listener = here.get(subject);
      if (listener !== undefined) queueMicrotask(() => listener(Buffer.from(body), subject));
      else if (nc.isClosed()) return;
      else if (typeof body === 'string') writer.publish(subject, body);
      else nc.publish(subject, body);
    },
    ask: async (subject, body, timeoutMs) => {
      try {
        return (await nc.request(subject, body, { timeout: timeoutMs })).data;
      } catch (error) {
        const code = isNoResponders(error) ? 'no_owner' : 'timeout';
        throw Object.assign(new Error(`${subject}: ${String(error)}`, { cause: error }), { code });
      }
    },
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
    listen: (subject, handler, { sole = false } = {}) => {
      if (sole) here.set(subject, handler);
      const subscription = nc.subscribe(subject, {
        callback: (error, message) => {
          if (error !== null) return log.warn(SUBSCRIPTION_ENDED, { subject, error: error.message });
          handler(message.data, message.subject);
        },
      });
      return () => {
        subscription.unsubscribe();
        if (sole) here.delete(subject);
      };
    },
  };
}
