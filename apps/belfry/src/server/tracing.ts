import { NO_TRACER as NO_GATEWAY_TRACER } from '@belfry/gateway';
import { NO_TRACER, type SchedulerTracer } from '@belfry/scheduler';

export async function startTracing(_service: string): Promise<{ stop(): Promise<void> }> {
  return { stop: () => Promise.resolve() };
}

export function schedulerTracer(): SchedulerTracer {
  return NO_TRACER;
}

export function gatewayTracer(): typeof NO_GATEWAY_TRACER {
  return NO_GATEWAY_TRACER;
}
