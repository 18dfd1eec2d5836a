/** `weft show` of a model that was an ONNX file: what goes in and out, and its blocks. */
import type { GraphManifest, GraphOutline, GraphShape } from '../models/index.ts'
import { formatBytes, plural } from './format.ts'
import { printable, table } from './text.ts'

/** More rows tell nobody anything; `--json` has them all. */
const MOST_ROWS = 40

export function graphLines(manifest: GraphManifest): string[] {
  const { graph, blocks, text } = manifest
  const weights = new Map(blocks.flatMap(({ tensors }) => tensors.map(({ address, bytes }) => [address, bytes])))
  const stored = [...weights.values()].reduce((sum, bytes) => sum + bytes, 0)
  const proven = graph.proven.length === 0 ? 'no cut was compared' : `proven at ${graph.proven.join(', ')}`
  const facts = table(
    [{ head: printable(manifest.model) }, { head: '' }],
    [
      ['digest', manifest.digest],
      ['licence', printable(manifest.license)],
      ['source', printable(manifest.source)],
      ...textRows(text),
      ['size', `${formatBytes(stored)} stored`],
      ['inputs', valuesText(graph.inputs)],
      ['outputs', valuesText(graph.outputs)],
      ['optimization', graph.optimization],
      ['cuts', proven],
    ],
  )
  // The first tensor is the skeleton.
  const own = blocks.map(({ tensors, ...block }) => ({ ...block, tensors: tensors.length - 1 }))
  return [...facts, '', ...blockLines(own)]
}

/** Of a file that is no model here. */
export function outlineLines(outline: GraphOutline & { readonly path: string }): string[] {
  const opsets = Object.entries(outline.opsets).map(([domain, version]) => `${printable(domain)} ${version}`)
  const facts = table(
    [{ head: printable(outline.path) }, { head: '' }],
    [
      ['licence', printable(outline.license)],
      ...(outline.text === null ? [] : [['text', `${outline.text}, with the tokenizer of its folder`]]),
      ['size', `${formatBytes(outline.bytes)} of weights, ${plural(outline.nodes, 'node')}`],
      ['inputs', valuesText(outline.inputs)],
      ['outputs', valuesText(outline.outputs)],
      ['operators', opsets.join(', ')],
    ],
  )
  return [...facts, '', ...blockLines(outline.blocks)]
}

function blockLines(blocks: GraphOutline['blocks']): string[] {
  const rows = blocks.slice(0, MOST_ROWS).map(blockRow)
  const more = blocks.length - rows.length
  const columns = ['BLOCK', 'TENSORS', 'STORED', 'MFLOP', 'CROSSES BEFORE'].map((head, at) => ({ head, right: at > 0 }))
  return [...table(columns, rows), ...(more > 0 ? [`and ${more} more blocks (--json)`] : [])]
}

function textRows(text: GraphManifest['text']): string[][] {
  if (text === undefined) return []
  const context = `${text.context} tokens`
  if (text.kind === 'decoder') return [['text', `decoder, ${text.carried.length} caches, ${context}`]]
  const { dimensions, normalize, output, pooling } = text
  const made = pooling === 'none' ? 'as the model gives it' : pooling === 'mean' ? 'mean of' : `${pooling} row of`
  const of = pooling === 'none' ? '' : ` ${printable(output)}`
  return [
    ['text', `encoder, ${dimensions} dimensions, ${context}`],
    ['vector', `${made}${of}${normalize ? ', of length 1' : ''}`],
  ]
}

function valuesText(values: GraphShape['inputs']): string {
  return values
    .map(
      ({ name, type, shape }) =>
        `${printable(name)} ${type}[${(shape ?? ['?']).map((size) => size ?? '?').join(', ')}]`,
    )
    .join(', ')
}

function blockRow(block: GraphOutline['blocks'][number], index: number): string[] {
  const { tensors, bytes, flops, boundary_bytes: crossing } = block
  return [
    String(index),
    String(tensors),
    formatBytes(bytes),
    (flops / 1e6).toFixed(1),
    index === 0 ? '-' : formatBytes(crossing),
  ]
}
