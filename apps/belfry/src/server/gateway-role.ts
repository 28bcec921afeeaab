import { randomBytes } from 'node:crypto';
import { DurablePublisher, IngestConsumer, natsNames, serve, type Serving } from '@belfry/adapter-nats';
import { Gateway, type IngestOutcome } from '@belfry/gateway';
import { ok, retry } from '@belfry/ports';
import { LIMITS, subjects } from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';
import type { ClockWatch } from './clock-watch.ts';
import type { LevelWatch } from './level-watch.ts';
import type { Metrics } from './metrics.ts';
import type { Platform } from './platform.ts';
import { gatewayTracer } from './tracing.ts';

const TICK_MS = 50;
const USAGE_MS = 2_000;
/** All gateways share the requests. */
const QUEUE_GROUP = 'gateways';
/** Ingest messages in one gateway's hands: each may hold a thousand tasks. */
const INGEST_WINDOW = 256;
const INGEST_AGAIN_MS = 1_000;
/** How long a stopping gateway waits for the answers to what it took. */
const DRAIN_MS = LIMITS.answerMs + 1_000;

export interface GatewayRole {
  stop(): Promise<void>;
}

/** Serves the front door: requests and durable publishes. */
export async function startGateway(options: {
  readonly platform: Platform;
  readonly level: LevelWatch;
  readonly watch: ClockWatch;
  readonly metrics: Metrics;
  readonly log: Log;
}): Promise<GatewayRole> {
  const { platform, level, watch, metrics, log } = options;
  const { link, messenger, inbox } = platform;
  const gatewayId = randomBytes(8).toString('hex');
  const rejected = new DurablePublisher(link);
  const gateway = new Gateway({
    gatewayId,
    shards: platform.shards,
    inbox,
    queries: platform.postgres.queries,
    clock: watch.clock,
    level: () => level.writes,
    clockTrouble: () => watch.trouble(),
    timeZoneVersion: process.versions['tz'] ?? 'unknown',
    log,
    metrics: metrics.gateway,
    tracer: gatewayTracer(),
    askShard: (shard, op, body) =>
      messenger
        .ask(subjects.shard(shard, op), body, op === 'get' ? LIMITS.askMs : LIMITS.answerMs)
        .then(ok<Uint8Array>, retry),
    ensureConsumer: (namespace, queue, leaseMs) => platform.work.ensureConsumer(namespace, queue, leaseMs),
    publishRejected: (namespace, body, id) => rejected.publish(subjects.rejected(namespace), body, id),
  });
  const unlisten = messenger.listen(subjects.replies(gatewayId), (body) => gateway.onReplies(body), { sole: true });
  const timers = [
    setInterval(() => gateway.tick(), TICK_MS),
    setInterval(() => void inbox.usage().then((usage) => gateway.onInboxUsage(usage), ignoreWhileAway), USAGE_MS),
  ];
  metrics.gauge('belfry_gateway_items', () => gateway.load.items);
  metrics.gauge('belfry_gateway_records', () => gateway.load.records);
  const doors = openDoors(platform, gateway, log);
  const ingest = takeIngest(platform, gateway, log);
  return {
    stop: async () => {
      ingest.stop();
      await Promise.race([Promise.all([...doors.map((door) => door.stop()), gateway.drain()]), after(DRAIN_MS)]);
      gateway.stop();
      for (const timer of timers) clearInterval(timer);
      unlisten();
      rejected.close();
    },
  };
}

function openDoors({ link }: Platform, gateway: Gateway, log: Log): Serving[] {
  const door = (
    subject: string,
    handle: (
      namespace: string,
      op: string,
      data: Uint8Array,
      header: (name: string) => string | undefined,
    ) => Promise<string>,
  ): Serving =>
    serve(
      link,
      subject,
      {
        queueGroup: QUEUE_GROUP,
        concurrency: LIMITS.gatewayPending,
        pending: 1_000,
        onError: (error, at) => log.error('a request failed', { subject: at, error: error.message }),
      },
      (request) => {
        const [, , namespace = '', , op = ''] = request.subject.split('.');
        return handle(namespace, op, request.data, (name) => request.header(name));
      },
    );
  return [
    door(subjects.tasks('*', '*'), (...request) => gateway.handleTasks(...request)),
    door(subjects.executions('*', '*'), (...request) => gateway.handleExecutions(...request)),
    door(subjects.schedules('*', '*'), (...request) => gateway.handleSchedules(...request)),
    door(subjects.calendars('*', '*'), (...request) => gateway.handleCalendars(...request)),
    door(subjects.workers('*', 'subscribe'), (...request) => gateway.handleWorkers(...request)),
  ];
}

function takeIngest({ link }: Platform, gateway: Gateway, log: Log): IngestConsumer {
  return new IngestConsumer(link, {
    names: natsNames(),
    window: INGEST_WINDOW,
    onMessage: (message) => {
      const settle = (outcome: IngestOutcome): void => {
        if (outcome.kind === 'done') message.ack();
        else message.nak(INGEST_AGAIN_MS);
      };
      void gateway.handleIngest(message).then(settle);
    },
    onTrouble: (error) => log.warn('ingest cannot be read now', { error: error.message }),
  });
}

/** What is not known of the inbox stays as it was; that NATS is away is told elsewhere. */
function ignoreWhileAway(): void {
  return undefined;
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
