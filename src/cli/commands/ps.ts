/** weft ps: stages and draft models that are loaded, placements that stand, tensors on their way, requests in flight. */
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { placementsTable } from '../living-view.ts'
import { draftsTable, requestsTable, stagesTable, transfersTable } from '../views.ts'

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const status = await (await openFor(context, 'never')).status(signal)
  if (out.structured) {
    const { drafts = [], placements = [], requests, stages, transfers } = status
    out.document({ schema: 'weft.ps/1', stages, drafts, placements, requests, transfers })
    return
  }
  if (status.stages.length === 0) out.note('nothing is loaded: weft run or weft deploy loads a model')
  else out.lines(stagesTable(status, flags.flag('wide')))
  if (status.drafts !== undefined && status.drafts.length > 0) out.lines(['', ...draftsTable(status.drafts)])
  if (status.placements !== undefined && status.placements.length > 0) out.lines(['', ...placementsTable(status)])
  if (status.transfers.length > 0) out.lines(['', ...transfersTable(status.transfers)])
  if (status.requests.length > 0) out.lines(['', ...requestsTable(status.requests)])
}
