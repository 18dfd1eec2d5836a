/** weft rm MODEL: removes it from this home; other peers keep theirs. */
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const model = flags.required(0)
  await (await openFor(context, 'never')).removeModel(model, { last: flags.flag('last') }, signal)
  if (out.structured) out.document({ schema: 'weft.removed/1', model })
  else out.note(`removed ${model} from this home`)
}
