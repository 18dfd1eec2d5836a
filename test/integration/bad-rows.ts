/**
 * A real peer that sends other rows than its stages compute. What goes to other peers is changed behind all that looks at it here,
 * with a running digest that fits. Which rows it sends stands in the file `rows` of its home; a file `blind` there: it computes
 * with whatever comes, as a weft that does not look at rows.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runProcess } from '../../src/cli/main.ts'
import { STATED_BYTES } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { RowDigest } from '../../src/pipeline/ring/digest.ts'
import { RING } from '../../src/pipeline/ring/protocol.ts'
import { RowCheck } from '../../src/pipeline/ring/row-check.ts'
import { RingService } from '../../src/pipeline/ring/service.ts'

const home = process.argv[process.argv.indexOf('--home') + 1]!
/** Of what each hop was sent in an attempt. */
const digests = new Map<string, RowDigest>()

function rowsNow(): string {
  try {
    return readFileSync(join(home, 'rows'), 'utf8').trim()
  } catch {
    return ''
  }
}

function changed(kind: string, message: Frame): Frame {
  const payload = message.payload.slice()
  const values = new Float16Array(payload.buffer)
  const width = message.dims[1]!
  if (kind === 'zeros') values.fill(0)
  else if (kind === 'none') values[5] = Number.NaN
  else if (kind.endsWith('times 1000')) values.forEach((value, at) => (values[at] = value * 1000))
  else if (kind === 'noise') values.forEach((_, at) => (values[at] = 1000 * Math.sin(at * 7919 + message.position)))
  else if (kind === 'swapped')
    payload.set([...payload.subarray(2 * width, 4 * width), ...payload.subarray(0, 2 * width)])
  const key = `${message.request} ${message.attempt} ${message.hop}`
  const digest = digests.get(key) ?? new RowDigest()
  digests.set(key, digest)
  const stated = kind.startsWith('unstated') ? new Uint8Array(STATED_BYTES) : message.stated
  return { ...message, payload, stated, digest: digest.next(payload) }
}

/* oxlint-disable typescript/unbound-method -- each is called with its own `this` below */
const { send } = RingService.prototype
const { refuses } = RowCheck.prototype
/* oxlint-enable typescript/unbound-method */
RingService.prototype.send = function sendOther(this: RingService, peer: string, message: Frame): Promise<void> {
  const kind = message.type === RING.rows ? rowsNow() : ''
  return send.call(this, peer, kind === '' ? message : changed(kind, message))
}
RowCheck.prototype.refuses = function look(this: RowCheck, ...rows: Parameters<typeof refuses>): string | undefined {
  return existsSync(join(home, 'blind')) ? undefined : refuses.apply(this, rows)
}

await runProcess()
