import {
  ProxyTracerProvider,
  ROOT_CONTEXT,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Span,
  type SpanContext,
  type SpanKind,
  type Tracer,
} from '@opentelemetry/api';

const SCOPE = '@belfry/program';
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;

/** A span that is under way. */
export interface OpenSpan {
  /** Its context, to propagate: a W3C `traceparent`. */
  readonly traceparent: string | undefined;
  /** `error` says that what the span is about did not succeed. */
  end(error?: Error): void;
}

export interface SpanOptions {
  readonly kind?: SpanKind;
  /** Traceparent of what caused it. What is none makes a root. */
  readonly parent?: string | undefined;
  /** Traceparent of what it belongs to without being a part of it. */
  readonly link?: string | undefined;
  readonly attributes?: Attributes;
}

/** Stands for a span where nobody records any: passes a context on. */
class Untraced implements OpenSpan {
  readonly traceparent: string | undefined;

  constructor(traceparent: string | undefined) {
    this.traceparent = traceparent;
  }

  end(): void {}
}

const NOTHING = new Untraced(undefined);

/** What to return where `registeredTracer` is undefined: one small object, or none. */
export function untraced(traceparent: string | undefined): OpenSpan {
  return traceparent === undefined ? NOTHING : new Untraced(traceparent);
}

class Recorded implements OpenSpan {
  readonly traceparent: string;
  readonly #span: Span;

  constructor(span: Span) {
    this.#span = span;
    this.traceparent = traceparentOf(span.spanContext());
  }

  end(error?: Error): void {
    if (error !== undefined) {
      this.#span.recordException(error);
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    }
    this.#span.end();
  }
}

/** The tracer of the OpenTelemetry SDK that this process has set up, ours or another; undefined where there is none. */
export function registeredTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  // Without an SDK, the API's own provider stands in and delegates to nobody.
  return provider instanceof ProxyTracerProvider ? provider.getDelegateTracer(SCOPE) : provider.getTracer(SCOPE);
}

/** Starts a span. Without an SDK there is none, and the parent's context is passed on. */
export function startSpan(name: string, options: SpanOptions): OpenSpan {
  const tracer = registeredTracer();
  return tracer === undefined ? untraced(options.parent) : recordSpan(tracer, name, options);
}

export function recordSpan(tracer: Tracer, name: string, { kind, parent, link, attributes }: SpanOptions): OpenSpan {
  const from = parent === undefined ? undefined : spanContextOf(parent);
  const linked = link === undefined ? undefined : spanContextOf(link);
  const span = tracer.startSpan(
    name,
    {
      ...(kind === undefined ? {} : { kind }),
      ...(attributes === undefined ? {} : { attributes }),
      ...(linked === undefined ? {} : { links: [{ context: linked }] }),
    },
    from === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, from),
  );
  return new Recorded(span);
}

function spanContextOf(traceparent: string): SpanContext | undefined {
  if (!TRACEPARENT.test(traceparent)) return undefined;
  return {
    traceId: traceparent.slice(3, 35),
    spanId: traceparent.slice(36, 52),
    traceFlags: parseInt(traceparent.slice(53, 55), 16) & TraceFlags.SAMPLED,
    isRemote: true,
  };
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`;
}
