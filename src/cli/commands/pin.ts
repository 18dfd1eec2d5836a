/** weft pin MODEL: it stays on this disk, whatever the quota. */
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const model = flags.required(0)
  await (await openFor(context, 'never')).pinModel(model, true, signal)
  if (out.structured) out.document({ schema: 'weft.pinned/1', model, pinned: true })
  else out.note(`${model} stays on this disk`)
}
