/** weft ls: models here, in the mesh and in the catalogue. */
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { modelsTable } from '../views.ts'

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const models = await (await openFor(context, 'never')).models(signal)
  if (out.jsonl) for (const model of models) out.document({ schema: 'weft.model-summary/1', ...model })
  else if (out.json) out.document({ schema: 'weft.models/1', models })
  else if (models.length === 0) out.note('no models yet: weft import brings one in')
  else out.lines(modelsTable(models, flags.flag('wide')))
}
