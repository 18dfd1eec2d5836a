/** weft ping PEER: round trips over the mesh's own channel. */
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { PeerSilentError } from '../errors.ts'
import { findPeer } from '../find-peer.ts'
import { formatMs, median } from '../format.ts'
import { printable } from '../text.ts'
import { waiting } from '../waiting.ts'

const COUNT = 4
const BYTES = 64

export const command: Command = async (context) => {
  const { flags, io, out, signal } = context
  const access = await openFor(context, 'never')
  const peer = findPeer((await access.status(signal)).peers, flags.required(0))
  const count = flags.number('count') ?? COUNT
  const bytes = flags.number('bytes') ?? BYTES
  const times: number[] = []
  let wait = waiting(io, out, `an echo of ${printable(peer.name)}`)
  try {
    for await (const reply of access.ping(peer.id, { count, bytes }, signal)) {
      wait.end()
      times.push(reply.ms)
      if (out.jsonl) out.document({ seq: reply.seq, ms: reply.ms })
      else if (!out.json)
        out.line(`${bytes} bytes from ${printable(peer.name)}: seq=${reply.seq} time=${formatMs(reply.ms)}`)
      wait = waiting(io, out, `an echo of ${printable(peer.name)}`)
    }
  } finally {
    wait.end()
  }
  if (times.length === 0) throw new PeerSilentError('with an echo', 'no round trip was finished')
  const [min, max] = [Math.min(...times), Math.max(...times)]
  const facts = { count: times.length, bytes, min_ms: min, median_ms: median(times), max_ms: max }
  if (out.structured) out.document({ schema: 'weft.ping/1', peer: peer.id, ...facts, times_ms: times })
  else
    out.line(`${times.length} echoes: min ${formatMs(min)}, median ${formatMs(facts.median_ms)}, max ${formatMs(max)}`)
}
