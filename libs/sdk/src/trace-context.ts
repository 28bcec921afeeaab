import {
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
} from '@opentelemetry/api';

const SCOPE = '@belfry/sdk';
const NO_HEADERS: { readonly [name: string]: string } = {};

/** Whether an OpenTelemetry SDK is set up that carries contexts on. */
export function isTracing(): boolean {
  return propagation.fields().length > 0;
}

/** Headers that carry the caller's trace; none where no OpenTelemetry SDK is set up. */
export function activeTraceHeaders(): { readonly [name: string]: string } {
  return headersOf(context.active());
}

function headersOf(from: Context): { readonly [name: string]: string } {
  if (trace.getSpanContext(from) === undefined) return NO_HEADERS;
  const carrier: { [name: string]: string } = {};
  propagation.inject(from, carrier);
  return carrier;
}

/**
 * Runs `work` inside the active span `belfry.run`, a child of the context that came with the work message.
 * `onTraceparent` gets the span's own traceparent (or the one that came, where the span is not recorded) before `work` begins.
 * @throws what `work` throws
 */
export async function runInSpan<T>(
  traceparent: string | undefined,
  tracestate: string | undefined,
  attributes: Attributes,
  onTraceparent: (traceparent: string | undefined) => void,
  work: () => Promise<T>,
): Promise<T> {
  const parent =
    traceparent === undefined
      ? ROOT_CONTEXT
      : propagation.extract(ROOT_CONTEXT, tracestate === undefined ? { traceparent } : { traceparent, tracestate });
  const span = trace.getTracer(SCOPE).startSpan('belfry.run', { kind: SpanKind.CONSUMER, attributes }, parent);
  if (!span.isRecording()) {
    onTraceparent(traceparent);
    return await context.with(trace.setSpan(parent, span), work);
  }
  const own = trace.setSpan(parent, span);
  onTraceparent(headersOf(own)['traceparent'] ?? traceparent);
  try {
    return await context.with(own, work);
  } catch (error) {
    span.recordException(error instanceof Error ? error : String(error));
    span.setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    span.end();
  }
}
