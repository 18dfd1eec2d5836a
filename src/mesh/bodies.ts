/** The bodies of records as they may come from a wire: each field bounded. Unknown members are dropped, not refused. */
import { z } from 'zod'
import { checkPlacement, MAX_BATCH_POINTS } from '../placement/index.ts'
import type { Stage } from '../placement/index.ts'
import {
  MAX_ADDRESS_LENGTH,
  MAX_ADDRESSES,
  MAX_AUDIT_HEADS,
  MAX_BLOCKS,
  MAX_EPOCH,
  MAX_IMPORTS,
  MAX_NAME,
  MAX_PROFILE_LINKS,
  MAX_PROFILE_MODELS,
  MAX_SHUNNED,
} from './limits.ts'
import type { RecordKind } from './types.ts'

const text = z.string().max(MAX_NAME)
const size = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const block = z.number().int().min(0).max(MAX_BLOCKS)
const digest = z.string().regex(/^[0-9a-f]{64}$/)
const model = z.string().min(1).max(MAX_NAME)

/** A day: nothing that is slower or farther is of use. */
const milliseconds = z.number().min(0).max(86_400_000)
const share = z.number().min(0).max(1)
const bytesPerSecond = z.number().min(0).max(1e15)
const celsius = z.number().min(-273).max(1_000)

const thermal = z.object({ celsius, limit_celsius: celsius.nullable(), limited: z.boolean() })

const battery = z.object({ percent: z.number().min(0).max(100).nullable(), discharging: z.boolean() })

/** What of it can be true is for the planner to say (`soundCurve`). */
const batchPoint = z.object({ rows: size.max(1e6), factor: z.number().min(0).max(1e6) })

const modelSpeed = z.object({
  digest,
  block_ms: milliseconds.nullable(),
  prefill_ms: milliseconds.nullable(),
  predicted_block_ms: milliseconds,
  predicted_prefill_ms: milliseconds,
  error: z.number().min(0).max(1_000),
  batch: z.array(batchPoint).max(MAX_BATCH_POINTS).readonly().optional(),
})

const link = z.object({
  peer: text.min(1),
  rtt_ms: milliseconds.nullable(),
  jitter_ms: milliseconds.nullable(),
  loss: share.nullable(),
  down: bytesPerSecond.nullable(),
  up: bytesPerSecond.nullable(),
  relayed: z.boolean(),
})

const shortMemory = z.object({ peer: text.min(1), bytes: size })

const seenSpeed = z.object({ peer: text.min(1), digest, block_ms: milliseconds })

/** A million tokens a minute: more than any mesh of such devices. */
const modelUse = z.object({
  digest,
  tokens_per_minute: z.number().min(0).max(1e6),
  step_tokens: z.number().min(1).max(1_000).optional(),
  step_rows: z.number().min(1).max(1_000).optional(),
})

const hardware = z.object({
  platform: text,
  arch: text,
  cpu: text,
  cores: size,
  memory_total: size,
  memory_free: size,
  memory_quota: size,
  speed: z.number().min(0).max(1e18),
  kernel: text,
  memory_bandwidth: bytesPerSecond.optional(),
  thermal: thermal.nullable().optional(),
  battery: battery.nullable().optional(),
  models: z.array(modelSpeed).max(MAX_PROFILE_MODELS).readonly().optional(),
})

const profile = z.object({
  name: text,
  version: text,
  state: z.enum(['running', 'draining']),
  threads: size.max(4096),
  addresses: z.array(z.string().max(MAX_ADDRESS_LENGTH)).max(MAX_ADDRESSES),
  circuits: z.array(z.string().max(MAX_ADDRESS_LENGTH)).max(MAX_ADDRESSES).readonly().optional(),
  hardware,
  guests: z.object({ memory: size, sessions: size }),
  links: z.array(link).max(MAX_PROFILE_LINKS).readonly().optional(),
  seen: z.array(seenSpeed).max(MAX_PROFILE_MODELS).readonly().optional(),
  short: z.array(shortMemory).max(MAX_PROFILE_MODELS).readonly().optional(),
  use: z.array(modelUse).max(MAX_PROFILE_MODELS).readonly().optional(),
})

const range = z.tuple([block, block]).refine(([from, to]) => from < to)

const stage = z
  .object({
    from: block,
    to: block,
    pid: size,
    memory: size,
    state: z.enum(['loading', 'ready', 'failed']),
    short: z.boolean().exactOptional(),
  })
  .refine((value) => value.from < value.to)

const holdings = z.object({
  models: z
    .array(z.object({ model, digest, tensors: z.array(range).max(MAX_BLOCKS), stages: z.array(stage).max(1024) }))
    .max(256),
})

/** Exponents of float32, and of zeros. */
const levels = z.array(z.number().int().min(-15).max(128)).min(1).max(MAX_BLOCKS)

const manifest = z.object({
  model,
  digest,
  bytes: size,
  blocks: block.min(1),
  boundary: z.enum(['f16', 'f32']),
  license: text,
  // Of a release before there are none.
  levels: z
    .object({ low: levels, high: levels })
    .refine(({ low, high }) => low.length === high.length)
    .exactOptional(),
})

const importing = z.object({
  source: digest,
  serial: size,
  state: z.enum(['waiting', 'fetching', 'done', 'failed']),
  done: size,
  total: size.nullable(),
  digest: digest.nullable(),
})

const imports = z.object({ imports: z.array(importing).max(MAX_IMPORTS) })

/** Where the audit log of the author stands, and where those of others stood when it heard of them; each signed by its owner. */
const auditHead = { seq: size.min(1), hash: digest, signature: z.string().regex(/^[0-9a-f]{128}$/) }
const audit = z.object({
  ...auditHead,
  seen: z.array(z.object({ peer: text.min(1), ...auditHead })).max(MAX_AUDIT_HEADS),
  // Of a release before there are none.
  clones: z.array(text.min(1)).max(16).exactOptional(),
})

const stages = z.array(z.object({ peer: text.min(1), from: block, to: block })).max(1024)

/** How a placement changes by itself; of a release before there is nothing of it. */
const living = z.object({
  origin: text.min(1),
  objective: z.enum(['latency', 'first-token', 'throughput', 'memory', 'spread']),
  next: stages.refine(isContiguous).exactOptional(),
  before: stages.refine(isContiguous).exactOptional(),
  refused: stages.refine(isContiguous).exactOptional(),
  pinned: stages.refine(isContiguous).exactOptional(),
  without: z.array(text.min(1)).max(MAX_SHUNNED).exactOptional(),
})

const placement = z.object({
  epoch: z.number().int().min(1).max(MAX_EPOCH),
  digest,
  kind: z.enum(['chosen', 'hand']),
  // None: withdrawn. Whether they cover the model is known to whoever has its manifest.
  stages: stages.refine((list) => list.length === 0 || isContiguous(list)),
  // Of a release before this one there are none.
  replicas: z
    .array(z.object({ peer: text.min(1), from: block, to: block }).refine((replica) => replica.from < replica.to))
    .max(1024)
    .exactOptional(),
  living: living.exactOptional(),
})

function isContiguous(stages: readonly Stage[]): boolean {
  try {
    checkPlacement(stages, stages.at(-1)?.to ?? 0)
    return true
  } catch {
    return false
  }
}

/** `null`: the author takes it back. */
export const BODIES = {
  profile: profile,
  holdings: holdings,
  manifest: manifest.nullable(),
  placement: placement,
  imports: imports,
  audit: audit,
} as const satisfies Record<RecordKind, z.ZodType>

export type BodyOf<Kind extends RecordKind> = z.infer<(typeof BODIES)[Kind]>

export function isRecordKind(kind: string): kind is RecordKind {
  return Object.hasOwn(BODIES, kind)
}

/** The body with only the members that we know, or undefined when it is not one of this kind and key. */
export function checkBody(kind: RecordKind, key: string, body: unknown): BodyOf<RecordKind> | undefined {
  const result = BODIES[kind].safeParse(body)
  if (!result.success) return undefined
  if (!keyFits(kind, key, result.data)) return undefined
  return result.data
}

/** One profile, one holdings and one imports record an author; a manifest's key is its digest, a placement's its model. */
function keyFits(kind: RecordKind, key: string, body: BodyOf<RecordKind>): boolean {
  if (kind === 'profile' || kind === 'holdings' || kind === 'imports' || kind === 'audit') return key === ''
  if (kind === 'placement') return model.safeParse(key).success
  return body === null ? digest.safeParse(key).success : 'license' in body && body.digest === key
}
