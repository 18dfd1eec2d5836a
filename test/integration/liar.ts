/**
 * A real peer that lies: `weft up` with a stage host between which and the ring somebody stands. Nothing in weft can be
 * told to do this; the class that gives out stage hosts is changed in this process before the peer starts. Which lie it
 * is stands in the file `lie` of its home, looked at whenever a session is opened; none there: it is honest.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runProcess } from '../../src/cli/main.ts'
import { decodeControl, encodeControl } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { HOST, RUN } from '../../src/pipeline/host/protocol.ts'
import type { OpenControl } from '../../src/pipeline/host/protocol.ts'
import type { StageHost } from '../../src/pipeline/host/stage-host.ts'
import { Stages } from '../../src/pipeline/index.ts'
import type { Seal } from '../../src/pipeline/ring/statement.ts'
import { Witness } from '../../src/pipeline/ring/witness.ts'

interface Session {
  readonly lie: string
  /** Rows seen, of this session and, to be told as another's, of the one before. */
  readonly rows: Map<number, Uint8Array>
}

const home = process.argv[process.argv.indexOf('--home') + 1]!
const hosts = new WeakMap<StageHost, StageHost>()
let before = new Map<number, Uint8Array>()

function lieNow(): string {
  try {
    return readFileSync(join(home, 'lie'), 'utf8').trim()
  } catch {
    return ''
  }
}

function lying(host: StageHost): StageHost {
  const known = hosts.get(host)
  if (known !== undefined) return known
  const sessions = new Map<number, Session>()
  const wrapped: StageHost = {
    ...host,
    send: (message) => host.send(asked(sessions, message)),
    onFrame: (set) => host.onFrame((message) => set(answered(sessions, message))),
  }
  hosts.set(host, wrapped)
  return wrapped
}

/** What goes to the host. */
function asked(sessions: Map<number, Session>, message: Frame): Frame {
  if (message.type === HOST.open) {
    const lie = lieNow()
    sessions.set(message.request, { lie, rows: new Map() })
    const control = decodeControl(message.control) as OpenControl
    // Blocks in the wrong order: others of the same kind in their place.
    if (lie === 'swapped') return { ...message, control: encodeControl({ ...control, from: 4, to: 7 }) }
  }
  const session = sessions.get(message.request)
  if (message.type === HOST.close && session !== undefined) {
    before = session.rows
    sessions.delete(message.request)
  }
  // The KV cache is a row behind from the first row on that is alone.
  if (message.type === HOST.run && session?.lie === 'stale' && message.position > 0 && message.dims[0] === 1)
    return { ...message, position: message.position - 1, flags: message.flags | RUN.rewind }
  return message
}

/** What the host has computed, as it is told. */
function answered(sessions: Map<number, Session>, message: Frame): Frame {
  const session = sessions.get(message.request)
  if (session === undefined) return message
  if (session.lie === 'stale' && message.position > 0 && message.rows === 1)
    return { ...message, position: message.position + 1, flags: message.flags & ~RUN.rewind }
  if (message.type === HOST.token && session.lie === 'token' && message.position > 8)
    return { ...message, payload: new Uint8Array(Int32Array.of(7).buffer) }
  if (message.type !== HOST.rows) return message
  const count = message.dims[0]!
  const rowBytes = message.payload.length / count
  const payload = message.payload.slice()
  for (let row = 0; row < count; row++) {
    const bytes = payload.subarray(row * rowBytes, (row + 1) * rowBytes)
    session.rows.set(message.position + row, bytes.slice())
    tamper(session.lie, message.position + row, bytes)
  }
  return { ...message, payload }
}

/** A row in float16, in place. */
function tamper(lie: string, position: number, bytes: Uint8Array): void {
  if (lie === 'zeros' || lie === 'kernel zeros') bytes.fill(0)
  else if (lie === 'infinite') bytes.fill(0x7c)
  else if (lie === 'noise')
    for (let index = 0; index < bytes.length; index += 2) bytes[index]! ^= (index * 37 + position) & 0xff
  // The last bit of one element in one row.
  else if (lie === 'bit') bytes[0]! ^= position === 9 ? 1 : 0
  // Fewer bits a value.
  else if (lie === 'rounded') for (let index = 0; index < bytes.length; index += 2) bytes[index]! &= 0xf0
  // Now and then.
  else if (lie === 'seldom' && position % 20 === 13) bytes.fill(0)
  else if (lie === 'other') bytes.set(before.get(position) ?? bytes)
}

/* oxlint-disable typescript/unbound-method -- each is called with its own `this` below */
/** Signatures that are none, no account of what was taken, kernels that are not its own. */
const { seal, taken } = Witness.prototype
Witness.prototype.seal = function lyingSeal(this: Witness, ...rows: Parameters<typeof seal>): Seal {
  const honest = seal.apply(this, rows)
  return lieNow() === 'unsigned' ? { ...honest, signature: new Uint8Array(64) } : honest
}
Witness.prototype.taken = function mute(this: Witness, ...rows: Parameters<typeof taken>): Uint8Array | undefined {
  return lieNow() === 'mute' ? undefined : taken.apply(this, rows)
}
const { kernel } = Stages.prototype
Stages.prototype.kernel = function otherKernel(this: Stages, digest: string): string | undefined {
  return lieNow().startsWith('kernel') ? 'another/1' : kernel.call(this, digest)
}

const given = Stages.prototype.host
/* oxlint-enable typescript/unbound-method */
Stages.prototype.host = async function host(
  this: Stages,
  digest: string,
  from: number,
  to: number,
): Promise<StageHost> {
  if (lieNow() === 'swapped') await given.call(this, digest, 4, 7)
  return lying(await given.call(this, digest, from, to))
}

await runProcess()
