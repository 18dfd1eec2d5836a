/** Trees, linear models and feature operators (`ai.onnx.ml`), and those on text. */
import type { DataType, Dimension, ValueType } from '../../ir/index.ts'
import { tensor } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { CLASSICAL } from '../registry.ts'
import type { Family } from '../registry.ts'

/** Rows of a matrix; a vector is one row. */
function rows(call: Call): Dimension {
  const shape = call.shape(0)
  return shape?.length === 1 ? 1 : (shape?.[0] ?? null)
}

function length(call: Call, name: string): number | undefined {
  const attribute = call.attribute(name)
  return attribute?.kind === 'ints' || attribute?.kind === 'strings' || attribute?.kind === 'floats'
    ? attribute.values.length
    : undefined
}

/** Labels, then a score for each class. */
const classifier: Rule = (call) => {
  const strings = length(call, 'classlabels_strings')
  const numbers = length(call, 'classlabels_int64s') ?? length(call, 'classlabels_ints')
  const classes = (strings ?? 0) > 0 ? strings : numbers
  const type: DataType = (strings ?? 0) > 0 ? 'string' : 'int64'
  return [tensor(type, [rows(call)]), tensor('float32', [rows(call), scores(classes)])]
}

/** Two scores also where one class is named: the other is what is left. */
function scores(classes: number | undefined): Dimension {
  return classes === undefined || classes < 2 ? null : classes
}

function regressor(targets: string): Rule {
  return (call) => [tensor('float32', [rows(call), call.int(targets, 1)])]
}

const treeEnsemble: Rule = (call) => [tensor(call.type(0), [call.dimension(0, 0), call.int('n_targets', 1)])]

const floatsLike: Rule = (call) => [tensor('float32', call.shape(0))]

const labelEncoder: Rule = (call) => {
  for (const [kind, type] of [
    ['strings', 'string'],
    ['int64s', 'int64'],
    ['floats', 'float32'],
  ] as const)
    if (call.attribute(`values_${kind}`) !== undefined) return [tensor(type, call.shape(0))]
  const named = call.attribute('values_tensor')
  if (named?.kind === 'tensor') return [tensor(named.value.type, call.shape(0))]
  // Opset 1 maps between text and number, and names the classes where there are any.
  if (call.version > 1 || call.type(0) === undefined) return []
  return [tensor(call.type(0) === 'string' ? 'int64' : 'string', call.shape(0))]
}

const oneHotEncoder: Rule = (call) => {
  const categories = length(call, 'cats_int64s') ?? length(call, 'cats_strings')
  const shape = call.shape(0)
  return [tensor('float32', shape && [...shape, categories ?? null])]
}

const featureVectorizer: Rule = (call) => [
  tensor('float32', [rows(call), call.ints('inputdimensions')?.reduce((sum, size) => sum + size, 0) ?? null]),
]

const featureExtractor: Rule = (call) => {
  const [data, picked] = [call.shape(0), call.shape(1)]
  if (data === null) return [tensor(call.type(0), null)]
  const count = picked === null ? null : call.algebra.product(picked)
  return [tensor(call.type(0), data.length === 1 ? [1, count] : [...data.slice(0, -1), count])]
}

const zipMap: Rule = (call) => {
  const key: DataType = call.attribute('classlabels_strings') === undefined ? 'int64' : 'string'
  const value: ValueType = { kind: 'tensor', type: 'float32', shape: [] }
  return [{ kind: 'sequence', element: { kind: 'map', key, value } }]
}

const sameAsFirst: Rule = (call) => [call.value(0)]

/** Words that are dropped are not known before. */
const stringNormalizer: Rule = (call) => {
  const shape = call.shape(0)
  const stop = length(call, 'stopwords') ?? 0
  if (stop === 0) return [tensor('string', shape)]
  return [tensor('string', shape?.length === 2 ? [shape[0]!, null] : shape && [null])]
}

const ngrams: Rule = (call) => {
  const shape = call.shape(0)
  const indices = call.ints('ngram_indexes')
  const count = indices === undefined || indices.length === 0 ? null : indices.reduce((a, b) => Math.max(a, b), 0) + 1
  return [tensor('float32', shape && [...shape.slice(0, -1), count])]
}

/** Parts, filled up with empty ones to the most that any text has; then how many each has. */
const stringSplit: Rule = (call) => {
  const shape = call.shape(0)
  return [tensor('string', shape && [...shape, null]), tensor('int64', shape)]
}

const castMap: Rule = (call) => {
  const to = call.text('cast_to', 'TO_FLOAT')
  const type: DataType = to === 'TO_STRING' ? 'string' : to === 'TO_INT64' ? 'int64' : 'float32'
  return [tensor(type, [1, call.text('map_form', 'DENSE') === 'DENSE' ? null : (call.int('max_map') ?? null)])]
}

/** Softmax with the loss: the loss, reduced or not, and the logarithms of the probabilities. */
const loss: Rule = (call) => {
  const reduced = call.text('reduction', 'mean') !== 'none'
  return [tensor(call.type(0), reduced ? [] : call.shape(1)), tensor(call.type(0), call.shape(0))]
}

export const CLASSICAL_FAMILY: readonly Family[] = [
  { domain: CLASSICAL, operators: 'LinearClassifier SVMClassifier TreeEnsembleClassifier', rule: classifier },
  { domain: CLASSICAL, operators: 'LinearRegressor', rule: regressor('targets') },
  { domain: CLASSICAL, operators: 'SVMRegressor', rule: regressor('n_targets') },
  { domain: CLASSICAL, operators: 'TreeEnsembleRegressor', rule: regressor('n_targets') },
  { domain: CLASSICAL, operators: 'TreeEnsemble', rule: treeEnsemble },
  { domain: CLASSICAL, operators: 'Normalizer Scaler', rule: floatsLike },
  { domain: CLASSICAL, operators: 'Binarizer Imputer', rule: sameAsFirst },
  { domain: CLASSICAL, operators: 'LabelEncoder CategoryMapper', rule: labelEncoder },
  { domain: CLASSICAL, operators: 'OneHotEncoder', rule: oneHotEncoder },
  { domain: CLASSICAL, operators: 'FeatureVectorizer', rule: featureVectorizer },
  { domain: CLASSICAL, operators: 'ArrayFeatureExtractor', rule: featureExtractor },
  { domain: CLASSICAL, operators: 'ZipMap', rule: zipMap },
  { domain: CLASSICAL, operators: 'CastMap', rule: castMap },
  { operators: 'StringNormalizer', rule: stringNormalizer },
  { operators: 'TfIdfVectorizer', rule: ngrams },
  { operators: 'StringSplit', rule: stringSplit },
  { operators: 'NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss', rule: loss },
]
