import { hostname } from 'node:os';

import { context, diag, DiagLogLevel, propagation, trace, type Attributes } from '@opentelemetry/api';

import { registeredTracer } from './open-span.ts';

/** What stopping waits for a collector at most. */
const FLUSH_MS = 3_000;
/** A collector that is away would be reported with every batch. */
const REPORT_EVERY_MS = 60_000;

export interface Telemetry {
  /** Sends what is left, for 3 s at most. Idempotent. */
  stop(): Promise<void>;
}

const NO_TELEMETRY: Telemetry = { stop: () => Promise.resolve() };

/** Whether the standard variables ask for spans to be sent anywhere. */
export function asksForTraces(env: NodeJS.ProcessEnv): boolean {
  if (env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true') return false;
  if (isSet(env['OTEL_CONFIG_FILE'])) return true;
  const exporter = env['OTEL_TRACES_EXPORTER']?.trim();
  if (isSet(exporter)) return exporter !== 'none';
  return isSet(env['OTEL_EXPORTER_OTLP_ENDPOINT']) || isSet(env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']);
}

/**
 * Sets up the OpenTelemetry SDK of this process if the standard `OTEL_*` variables ask for an exporter of spans; else it is
 * not even loaded (0.2 s, 40 MB). An SDK that is there already (`node --import …`) is left alone. OpenTelemetry's metrics and logs
 * stay off unless their own variables ask for them. `serviceName` is the default of `OTEL_SERVICE_NAME`.
 *
 * What is wrong with the variables is told on stderr, what is wrong with the collector to `warn`, once a minute (with
 * `OTEL_LOG_LEVEL`: all to the console). Never rejects.
 */
export async function startTelemetry(serviceName: string, warn: (message: string) => void): Promise<Telemetry> {
  if (!asksForTraces(process.env) || registeredTracer() !== undefined) return NO_TELEMETRY;
  try {
    const { startNodeSdk } = await import('@opentelemetry/sdk-node');
    const sdk = startNodeSdk({
      logLevel: process.env['OTEL_LOG_LEVEL'] ?? 'warn',
      ...signals(),
      ...resource(serviceName),
    });
    if (!isSet(process.env['OTEL_LOG_LEVEL'])) reportTo(warn);
    let stopping: Promise<void> | undefined;
    return { stop: () => (stopping ??= stop(() => sdk.shutdown(), warn)) };
  } catch (error) {
    warn(`no traces: OpenTelemetry could not be set up: ${String(error)}`);
    return NO_TELEMETRY;
  }
}

/** What no variable asks for is off, where OpenTelemetry's default would be to send it. */
function signals(): { metricReaders?: []; logRecordProcessors?: [] } {
  return {
    ...(isSet(process.env['OTEL_METRICS_EXPORTER']) ? {} : { metricReaders: [] }),
    ...(isSet(process.env['OTEL_LOGS_EXPORTER']) ? {} : { logRecordProcessors: [] }),
  };
}

/** The default detectors would send the command line, which may hold a password of Postgres or NATS. */
function resource(serviceName: string): {
  resourceAttributes?: Attributes;
  resourceDetectors?: { detect(): { attributes: Attributes } }[];
} {
  const own = { 'service.name': serviceName, 'host.name': hostname(), 'process.pid': process.pid };
  const name = process.env['OTEL_SERVICE_NAME'];
  return {
    ...(isSet(name) ? { resourceAttributes: { 'service.name': name } } : {}),
    ...(isSet(process.env['OTEL_NODE_RESOURCE_DETECTORS'])
      ? {}
      : { resourceDetectors: [{ detect: () => ({ attributes: own }) }] }),
  };
}

/** Takes over OpenTelemetry's own log: its warnings and errors, one in a minute. */
function reportTo(warn: (message: string) => void): void {
  let reportedAt = -Infinity;
  const report = (message: string): void => {
    if (performance.now() - reportedAt < REPORT_EVERY_MS) return;
    reportedAt = performance.now();
    warn(`OpenTelemetry: ${message.slice(0, 500)}`);
  };
  const ignore = (): void => undefined;
  diag.setLogger(
    { error: report, warn: report, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

async function stop(shutdown: () => Promise<void>, warn: (message: string) => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), FLUSH_MS);
  });
  try {
    if ((await Promise.race([shutdown(), late])) === 'late') warn('the last spans could not be sent in time');
  } catch (error) {
    warn(`the last spans could not be sent: ${String(error)}`);
  } finally {
    clearTimeout(timer);
    trace.disable();
    context.disable();
    propagation.disable();
    diag.disable();
  }
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value.trim() !== '';
}
