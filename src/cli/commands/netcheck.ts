/** weft netcheck [PEER]: what the network looks like from here, each pair measured, and what to do about it. */
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { findPeer } from '../find-peer.ts'
import { netcheckLines } from '../link-view.ts'
import { createProgress } from '../progress.ts'

export const command: Command = async (context) => {
  const { flags, io, out, signal } = context
  const access = await openFor(context, 'never')
  const wanted = flags.argument(0)
  const only = wanted === undefined ? {} : { peer: findPeer((await access.status(signal)).peers, wanted).id }
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const check = await access.netcheck(only, (line) => !out.structured && progress.sink(line), signal)
  progress.end()
  if (out.structured) out.document({ ...check, schema: 'weft.netcheck/1' })
  else out.lines(netcheckLines(check, out))
}
