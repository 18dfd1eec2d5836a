/** weft unpin MODEL: it may go when room is needed and other peers hold it. */
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const model = flags.required(0)
  await (await openFor(context, 'never')).pinModel(model, false, signal)
  if (out.structured) out.document({ schema: 'weft.pinned/1', model, pinned: false })
  else out.note(`${model} may go when room is needed`)
}
