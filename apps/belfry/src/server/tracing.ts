import { gatewaySpans, schedulerSpans, startTelemetry, type Telemetry } from '@belfry/adapter-otel';
import type { Tracer } from '@belfry/gateway';
import type { Log, SchedulerTracer } from '@belfry/scheduler';
import { createLog } from './log.ts';

/** Sends this process's spans where the `OTEL_*` variables say; without them it does nothing. Never rejects. */
export function startTracing(
  service: string,
  log: Pick<Log, 'warn'> = createLog(process.stderr.isTTY ? 'text' : 'json'),
): Promise<Telemetry> {
  return startTelemetry(service, (message) => log.warn(message));
}

export function schedulerTracer(): SchedulerTracer {
  return schedulerSpans;
}

export function gatewayTracer(): Tracer {
  return gatewaySpans;
}
