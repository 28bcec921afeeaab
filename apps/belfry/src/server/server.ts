import { hostname } from 'node:os';
import { randomBytes } from 'node:crypto';
import { checkLimits, LIMITS, readLevel, ROLES, subjects, type LevelTooOld, type Role } from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';
import { Hearing } from './hearing.ts';
import { openHttp, type HttpDoor } from './http.ts';
import { createLog, type LogFormat } from './log.ts';
import { Metrics } from './metrics.ts';
import { ProcessClock } from './clock.ts';
import { ClockWatch } from './clock-watch.ts';
import { LevelWatch } from './level-watch.ts';
import { openPlatform, type Platform } from './platform.ts';
import { startGateway, type GatewayRole } from './gateway-role.ts';
import { startScheduler, type SchedulerRole } from './scheduler-role.ts';
import { SupervisorRole } from './supervisor-role.ts';
import { Housekeeping } from './housekeeping.ts';
import { StreamKeeper } from './stream-keeper.ts';
import { tellPresence } from './operators/process-presence.ts';
import { VERSION } from './version.ts';
import { startTracing } from './tracing.ts';
import { ZoneWatch } from './zone-watch.ts';

export { ROLES };

export interface ServerOptions {
  readonly roles: readonly Role[];
  readonly natsUrl: string;
  readonly postgresUrl: string;
  /** 0 takes a free port. */
  readonly httpPort: number;
  readonly httpHost?: string;
  readonly nodeId?: string;
  /** Of a new installation. */
  readonly shards?: number;
  readonly replicas?: number;
  readonly connectMs?: number;
  readonly logFormat?: LogFormat;
  readonly log?: Log;
}

export interface RunningServer {
  readonly node: string;
  readonly httpPort: number;
  readonly shards: number;
  readonly warnings: readonly string[];
  /** Resolves when this process does not read what the cluster writes by now: it is to be stopped. */
  readonly outdated: Promise<LevelTooOld>;
  /** Resolves when this node owns what the placement gives it. */
  ready(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the given roles in this process. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const broken = checkLimits();
  if (broken.length > 0) throw new Error(`the limits contradict each other: ${broken.join('; ')}`);
  const node =
    options.nodeId ??
    `${hostname()
      .replaceAll(/[^A-Za-z0-9_-]/g, '-')
      .slice(0, 40)}-${randomBytes(4).toString('hex')}`;
  const log = options.log ?? createLog(options.logFormat ?? 'json', { node });
  const reads = readLevel(process.env['BELFRY_LEVEL']);
  const clock = new ProcessClock({ drillFile: process.env['BELFRY_CLOCK_DRILL'] });
  const platform = await openPlatform({
    natsUrl: options.natsUrl,
    postgresUrl: options.postgresUrl,
    node,
    shards: options.shards ?? 256,
    replicas: options.replicas ?? 1,
    log,
    clock,
    ...(options.connectMs === undefined ? {} : { connectMs: options.connectMs }),
  });
  if (options.shards !== undefined && options.shards !== platform.shards)
    log.warn(`the installation has ${platform.shards} shards, which cannot be changed: --shards is passed over`);
  const level = new LevelWatch({
    placements: platform.placements,
    installationLevel: () => platform.postgres.level(),
    reads,
    log,
  });
  const levels = await level.start().catch(async (error: unknown) => {
    await platform.close();
    throw error;
  });
  const metrics = new Metrics();
  const watch = new ClockWatch({ clock, node, platform, metrics, log });
  await watch.start();
  const { messenger } = platform;
  const hearing = new Hearing({
    ask: () => messenger.ask(subjects.operatorsOfNode(node, 'ping'), '', LIMITS.nodeDeafMs),
    monotonic: () => clock.monotonic(),
    deafMs: LIMITS.nodeDeafMs,
  });
  const listening = setInterval(() => void hearing.look(), LIMITS.nodeHeartbeatMs).unref();
  const keeper = new StreamKeeper(platform, log);
  const roles = await startRoles(options.roles, { platform, level, watch, hearing, node, metrics, log });
  const { scheduler } = roles;
  const endPresence = tellPresence({
    node,
    roles: options.roles,
    version: VERSION,
    level: reads,
    messenger,
    watch,
    scheduler,
    log,
  });
  let http: HttpDoor;
  try {
    http = await openHttp({
      port: options.httpPort,
      metrics,
      health: () => health(platform, level, watch, roles),
      ...(options.httpHost === undefined ? {} : { host: options.httpHost }),
    });
  } catch (error) {
    watch.stop();
    keeper.stop();
    clearInterval(listening);
    endPresence();
    await stopRoles(roles, platform, log);
    throw error;
  }
  let stopping: Promise<void> | undefined;
  return {
    node,
    httpPort: http.port,
    shards: platform.shards,
    warnings: platform.warnings,
    outdated: level.outdated,
    ready: async () => roles.scheduler?.ready(),
    stop: () => {
      watch.stop();
      keeper.stop();
      clearInterval(listening);
      stopping ??= stopRoles(roles, platform, log, endPresence)
        .then(() => levels.stop())
        .then(() => http.close());
      return stopping;
    },
  };
}

interface Roles {
  readonly gateway: GatewayRole | undefined;
  readonly scheduler: SchedulerRole | undefined;
  readonly supervisor: SupervisorRole | undefined;
}

interface Surroundings {
  readonly platform: Platform;
  readonly level: LevelWatch;
  readonly watch: ClockWatch;
  readonly hearing: Hearing;
  readonly node: string;
  readonly metrics: Metrics;
  readonly log: Log;
}

async function startRoles(wanted: readonly Role[], surroundings: Surroundings): Promise<Roles> {
  const { platform, watch, hearing, node, metrics, log } = surroundings;
  const scheduler = wanted.includes('scheduler') ? await startScheduler(surroundings) : undefined;
  const gateway = wanted.includes('gateway') ? await startGateway(surroundings) : undefined;
  let supervisor: SupervisorRole | undefined;
  if (wanted.includes('supervisor')) {
    const housekeeping = new Housekeeping(platform, watch.clock, log);
    const zones = new ZoneWatch({
      version: process.versions['tz'] ?? 'unknown',
      clock: watch.clock,
      log,
      stored: () => platform.postgres.queries.zoneData(),
      record: (data) => platform.postgres.recordZoneData(data),
    });
    supervisor = new SupervisorRole({
      node,
      shards: platform.shards,
      leases: platform.leases,
      placements: platform.placements,
      work: platform.work,
      messenger: platform.messenger,
      clock: watch.clock,
      isDeaf: () => hearing.isDeaf,
      log,
      raiseLevel: (to) => platform.postgres.raiseLevel(to),
      housekeeping: async () => {
        await housekeeping.round();
        // It takes its time, and the lease must not wait for it.
        zones
          .round()
          .catch((error: unknown) => log.warn('the time-zone data was not looked at', { error: String(error) }));
      },
    });
    const leads = supervisor;
    metrics.gauge('belfry_supervisor_leads', () => (leads.leads ? 1 : 0));
    supervisor.start();
  }
  return { gateway, scheduler, supervisor };
}

/**
 * Front door first, so that nothing new comes; then the shards are handed over. With a server away that cannot be done: after
 * `LIMITS.handOverMs` the program ends without. Nothing is lost by that, since all that was acknowledged stands in the inbox.
 */
async function stopRoles(
  roles: Roles,
  platform: Platform,
  log: Log,
  endPresence: () => void = () => undefined,
): Promise<void> {
  const handOver = async (): Promise<void> => {
    await roles.gateway?.stop();
    await roles.scheduler?.stop();
    await roles.supervisor?.stop();
    endPresence();
    await platform.close();
  };
  if (await isInTime(handOver(), LIMITS.handOverMs)) return;
  log.warn('stopping without a last checkpoint: the next owners replay what has changed since the one before');
}

function isInTime(work: Promise<void>, ms: number): Promise<boolean> {
  const late = new Promise<false>((resolve) => setTimeout(() => resolve(false), ms).unref());
  return Promise.race([work.then(() => true), late]);
}

function health(
  platform: Platform,
  level: LevelWatch,
  watch: ClockWatch,
  roles: Roles,
): { ok: boolean; parts: Record<string, unknown> } {
  const nats = platform.link.isConnected;
  const postgres = platform.postgres.isHealthy;
  return {
    ok: nats && postgres && watch.isFit && !level.isOutdated,
    parts: {
      nats: nats ? 'connected' : 'away',
      postgres: postgres ? 'connected' : 'away',
      clock: watch.status(),
      level: { reads: level.reads, writes: level.writes, outdated: level.isOutdated },
      ...(roles.scheduler === undefined ? {} : { scheduler: roles.scheduler.status() }),
      ...(roles.supervisor === undefined
        ? {}
        : { supervisor: { leads: roles.supervisor.leads, nodes: roles.supervisor.nodes() } }),
      ...(roles.gateway === undefined ? {} : { gateway: 'open' }),
      warnings: platform.warnings,
      limits: { payloadBytes: LIMITS.payloadBytes, historyDays: LIMITS.historyDays },
    },
  };
}

/** `belfry server`: runs the roles until SIGINT or SIGTERM. */
export async function runServer(
  options: Omit<ServerOptions, 'httpPort' | 'log' | 'logFormat'> & {
    readonly httpPort?: number;
    readonly json: boolean;
  },
): Promise<void> {
  const { json, httpPort, ...rest } = options;
  const format: LogFormat = json || !process.stderr.isTTY ? 'json' : 'text';
  const tracing = await startTracing('belfry');
  const server = await startServer({ ...rest, httpPort: httpPort ?? DEFAULT_HTTP_PORT, logFormat: format });
  const log = createLog(format, { node: server.node });
  for (const warning of server.warnings) log.warn(warning);
  const signal = untilSignal();
  const { outdated } = server;
  await Promise.race([server.ready(), signal, outdated]);
  const { node, shards, httpPort: http } = server;
  if (json) process.stdout.write(`${JSON.stringify({ ready: true, node, roles: options.roles, shards, http })}\n`);
  log.info('belfry is up', { roles: options.roles, shards, http: `http://127.0.0.1:${http}` });
  const why = await Promise.race([signal, outdated]);
  log.info('stopping', typeof why === 'string' ? { signal: why } : { reason: why.code });
  await server.stop();
  await tracing.stop();
  if (typeof why !== 'string') throw why;
}

export const DEFAULT_HTTP_PORT = 8080;

/** Resolves with the first of SIGINT, SIGTERM and SIGHUP; a second one ends the program at once. */
export function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let askedAt: number | undefined;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        // A terminal's Ctrl-C may arrive twice, from the terminal and from npm.
        if (askedAt !== undefined && performance.now() - askedAt > 1_000) process.exit(130);
        askedAt ??= performance.now();
        resolve(signal);
      });
    }
  });
}
