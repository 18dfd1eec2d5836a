/** All that crosses a lab of netlab, recorded at its switch, and put together again as those who listen would. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SOURCE = fileURLToPath(new URL('capture.c', import.meta.url))
const [ETHERNET, UDP_HEADER] = [14, 8]
const [TCP, UDP, SYN] = [6, 17, 2]

export interface Captured {
  readonly frames: number
  /** Contents of datagrams, as they came. */
  readonly datagrams: readonly { readonly port: number; readonly bytes: Buffer }[]
  /** What each side of each connection sent, in order, once. */
  readonly streams: readonly Buffer[]
  /** All frames as they were, one behind the other. */
  readonly whole: Buffer
}

/** @param hub command that runs another one at the switch, which sees every frame once @returns how to end it and read it */
export async function startCapture(hub: readonly string[], folder: string): Promise<() => Promise<Captured>> {
  const program = join(folder, 'capture')
  const file = join(folder, 'frames')
  execFileSync('cc', ['-O2', '-o', program, SOURCE])
  const out = openSync(file, 'w')
  const child = spawn(hub[0]!, [...hub.slice(1), program], { stdio: ['ignore', out, 'pipe'] })
  const news = child.stderr!
  closeSync(out)
  const [said] = (await Promise.race([once(news, 'data'), once(child, 'exit')])) as [unknown]
  if (!Buffer.isBuffer(said) || said.toString() !== 'ready\n')
    throw new Error(`the capture did not start: ${String(said)}`)
  return async () => {
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
    return readFrames(await readFile(file))
  }
}

interface Side {
  base: number
  readonly pieces: { readonly at: number; readonly bytes: Buffer }[]
}

function readFrames(all: Buffer): Captured {
  const raw: Buffer[] = []
  for (let at = 0; at + 4 <= all.length;) {
    const length = all.readUInt32LE(at)
    if (at + 4 + length > all.length) break
    raw.push(all.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  const datagrams: { port: number; bytes: Buffer }[] = []
  const sides: Side[] = []
  const current = new Map<string, Side>()
  for (const frame of raw) {
    const packet = packetOf(frame)
    if (packet === undefined) continue
    const { protocol, ends, body } = packet
    if (protocol === UDP) datagrams.push({ port: body.readUInt16BE(2), bytes: body.subarray(UDP_HEADER) })
    if (protocol !== TCP) continue
    const key = `${ends} ${body.readUInt32BE(0)}`
    const isFirst = (body[13]! & SYN) !== 0
    let side = current.get(key)
    if (side === undefined || isFirst) {
      side = { base: body.readUInt32BE(4) + Number(isFirst), pieces: [] }
      sides.push(side)
      current.set(key, side)
    }
    const bytes = body.subarray((body[12]! >> 4) * 4)
    if (bytes.length > 0) side.pieces.push({ at: (body.readUInt32BE(4) - side.base) >>> 0, bytes })
  }
  return { frames: raw.length, whole: all, datagrams, streams: sides.map(joined) }
}

/** IPv4 and IPv6 without extension headers; the padding of short frames cut off. */
function packetOf(frame: Buffer): { protocol: number; ends: string; body: Buffer } | undefined {
  const type = frame.length < ETHERNET + 20 ? 0 : frame.readUInt16BE(12)
  const ip = frame.subarray(ETHERNET)
  if (type === 0x0800) {
    const header = (ip[0]! & 15) * 4
    return { protocol: ip[9]!, ends: ip.toString('hex', 12, 20), body: ip.subarray(header, ip.readUInt16BE(2)) }
  }
  if (type !== 0x86dd || ip.length < 40) return undefined
  return { protocol: ip[6]!, ends: ip.toString('hex', 8, 40), body: ip.subarray(40, 40 + ip.readUInt16BE(4)) }
}

/** In the order of the sequence numbers; what came twice stands once, and what was missed leaves no gap. */
function joined({ pieces }: Side): Buffer {
  const parts: Buffer[] = []
  let end = 0
  for (const { at, bytes } of pieces.toSorted((one, other) => one.at - other.at)) {
    const known = Math.max(0, end - at)
    if (known >= bytes.length) continue
    parts.push(bytes.subarray(known))
    end = at + bytes.length
  }
  return Buffer.concat(parts)
}
