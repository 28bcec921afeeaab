import { isNoResponders, respond, TurnWriter, type NatsLink } from '@belfry/adapter-nats';
import type { Messenger } from '@belfry/actor-runtime';
import { wireError } from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';

const SUBSCRIPTION_ENDED = 'a subscription ended with an error';

/** Ask and tell over plain NATS; what is told to this process itself stays in it. */
export function natsMessenger(link: NatsLink, log: Log): Messenger {
  const { nc } = link;
  const writer = new TurnWriter(nc);
  const here = new Map<string, (body: Uint8Array, subject: string) => void>();
  /** The client throws for what does not fit a message: that is the message's end, not the process's. */
  const send = (subject: string, body: string | Uint8Array): void => {
    try {
      if (typeof body === 'string') writer.publish(subject, body);
      else nc.publish(subject, body);
    } catch (error) {
      log.error('a message cannot be sent', { subject, bytes: Buffer.byteLength(body), error: String(error) });
    }
  };
  return {
    tell: (subject, body) => {
      const listener = here.get(subject);
      if (listener !== undefined) queueMicrotask(() => listener(Buffer.from(body), subject));
      else if (nc.isClosed()) return;
      else send(subject, body);
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
            const wire = wireError('internal', 'the request failed; the log has the details');
            respond(link, message, JSON.stringify({ error: wire }));
          };
          try {
            Promise.resolve(handler(message.data, message.subject)).then(
              (reply) => respond(link, message, reply),
              fail,
            );
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
