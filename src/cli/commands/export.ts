/** weft export MODEL -o FILE: a model as one file, for a site with no network. */
import { resolve } from 'node:path'
import type { Command } from '../context.ts'
import { UsageError } from '../errors.ts'
import { formatBytes, plural } from '../format.ts'
import { createProgress } from '../progress.ts'
import { loadFunction } from '../rooms.ts'
import { printable } from '../text.ts'

/** What `exportModel` returns. */
interface Exported {
  readonly schema: 'weft.export/1'
  readonly model: string
  readonly file: string
  readonly bytes: number
  readonly blobs: number
  readonly sha256: string
}

export const command: Command = async (context) => {
  const { flags, home, io, out, signal } = context
  const target = flags.text('out')
  if (target === undefined) throw new UsageError('weft export needs -o FILE', 'usage: weft export MODEL -o FILE')
  const exportModel = await loadFunction('peer', 'exportModel')
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const request = { home, model: flags.required(0), file: resolve(target), force: flags.flag('force') }
  const written = (await exportModel(request, progress.sink, signal)) as Exported
  progress.end()
  if (out.structured) {
    out.document(written)
    return
  }
  const { model, file, bytes, blobs, sha256 } = written
  out.line(`${printable(file)}  ${printable(model)}, ${formatBytes(bytes)}, ${plural(blobs, 'blob')}`)
  out.line(`SHA-256  ${sha256}`)
  out.note('weft import FILE takes it on another machine')
}
