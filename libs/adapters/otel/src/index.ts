export { startSpan, type OpenSpan, type SpanOptions } from './open-span.ts';
export { gatewaySpans, schedulerSpans, SPANS, type SpanDescription, type TracedExecution } from './spans.ts';
export { asksForTraces, startTelemetry, type Telemetry } from './telemetry.ts';
