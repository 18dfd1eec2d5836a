/** weft undeploy MODEL: its stages are unloaded everywhere; nothing leaves a disk. */
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { printable } from '../text.ts'

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const model = flags.required(0)
  await (await openFor(context, 'never')).undeploy(model, signal)
  if (out.structured) out.document({ schema: 'weft.undeployed/1', model })
  else out.note(`${printable(model)} is no longer served`)
}
