/**
 * Every operator of ONNX and of `ai.onnx.ml` but those with subgraphs: its version, attributes that are numbers, and the
 * element types of its inputs and outputs, as ONNX's schemas (1.23) have them. Where it takes several types, those that tell
 * its inputs apart.
 */
const TABLE = `
  Abs 13 | uint8 | uint8
  Acos 22 | bfloat16 | bfloat16
  Acosh 22 | bfloat16 | bfloat16
  Add 14 | uint8 uint8 | uint8
  AffineGrid 20 | bfloat16 int64 | bfloat16
  And 7 | bool bool | bool
  ArgMax 13 | uint8 | int64
  ArgMin 13 | uint8 | int64
  Asin 22 | bfloat16 | bfloat16
  Asinh 22 | bfloat16 | bfloat16
  Atan 22 | bfloat16 | bfloat16
  Atanh 22 | bfloat16 | bfloat16
  Attention 25 | bfloat16 bfloat16 float32 float32 bfloat16 float32 int64 | bfloat16 bfloat16 float32 bfloat16
  AveragePool 22 | bfloat16 | bfloat16
  BatchNormalization 15 | float16 float32 float32 float32 float32 | float16 float32 float32
  Bernoulli 22 dtype=1 | bfloat16 | float32
  BitCast 26 to=1 | uint32 | float32
  BitShift 11 | uint8 uint8 | uint8
  BitwiseAnd 18 | uint8 uint8 | uint8
  BitwiseNot 18 | uint8 | uint8
  BitwiseOr 18 | uint8 uint8 | uint8
  BitwiseXor 18 | uint8 uint8 | uint8
  BlackmanWindow 17 output_datatype=1 | int32 | float32
  Cast 25 to=1 | uint8 | float32
  CastLike 25 | uint8 uint16 | uint16
  Ceil 13 | float16 | float16
  Celu 12 | float32 | float32
  CenterCropPad 18 | uint8 int32 | uint8
  Clip 13 | uint8 uint8 uint8 | uint8
  Col2Im 18 | uint8 int64 int64 | uint8
  Compress 11 | uint8 bool | uint8
  Concat 13 axis=1 | uint8 uint8 | uint8
  ConcatFromSequence 11 axis=1 | seq:uint8 | uint8
  ConstantOfShape 25 | int64 | float32
  Conv 22 | bfloat16 bfloat16 bfloat16 | bfloat16
  ConvInteger 10 | uint8 int8 uint8 int8 | int32
  ConvTranspose 22 | bfloat16 bfloat16 bfloat16 | bfloat16
  Cos 22 | bfloat16 | bfloat16
  Cosh 22 | bfloat16 | bfloat16
  CumProd 26 | uint32 int32 | uint32
  CumSum 14 | uint32 int32 | uint32
  DFT 20 | bfloat16 int32 int64 | bfloat16
  DeformConv 22 | bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 | bfloat16
  DepthToSpace 13 blocksize=1 | uint8 | uint8
  DequantizeLinear 25 output_dtype=10 | uint8 float32 uint8 | float16
  Det 22 | bfloat16 | bfloat16
  Div 14 | uint8 uint8 | uint8
  Dropout 22 | bfloat16 float32 bool | bfloat16 bool
  DynamicQuantizeLinear 11 | float32 | uint8 float32 uint8
  Einsum 12 | uint8 uint8 | uint8
  Elu 22 | bfloat16 | bfloat16
  Equal 19 | uint8 uint8 | bool
  Erf 13 | bfloat16 | bfloat16
  Exp 13 | bfloat16 | bfloat16
  Expand 13 | uint8 int64 | uint8
  EyeLike 22 dtype=1 | uint8 | float32
  Flatten 25 | uint8 | uint8
  Floor 13 | float16 | float16
  GRU 22 | bfloat16 bfloat16 bfloat16 bfloat16 int32 bfloat16 | bfloat16 bfloat16
  Gather 13 | uint8 int32 | uint8
  GatherElements 13 | uint8 int32 | uint8
  GatherND 13 | uint8 int64 | uint8
  Gelu 20 | float16 | float16
  Gemm 13 | float16 float16 float16 | float16
  GlobalAveragePool 22 | bfloat16 | bfloat16
  GlobalLpPool 22 | bfloat16 | bfloat16
  GlobalMaxPool 22 | bfloat16 | bfloat16
  Greater 13 | uint8 uint8 | bool
  GreaterOrEqual 16 | uint8 uint8 | bool
  GridSample 22 | uint8 bfloat16 | uint8
  GroupNormalization 21 num_groups=1 stash_type=1 | bfloat16 bfloat16 bfloat16 | bfloat16
  HammingWindow 17 output_datatype=1 | int32 | float32
  HannWindow 17 output_datatype=1 | int32 | float32
  HardSigmoid 22 | bfloat16 | bfloat16
  HardSwish 22 | bfloat16 | bfloat16
  Hardmax 13 | float16 | float16
  Identity 25 | uint8 | uint8
  ImageDecoder 20 | uint8 | uint8
  InstanceNormalization 22 | bfloat16 bfloat16 bfloat16 | bfloat16
  IsInf 20 | bfloat16 | bool
  IsNaN 20 | bfloat16 | bool
  LRN 13 size=1 | float16 | float16
  LSTM 22 | bfloat16 bfloat16 bfloat16 bfloat16 int32 bfloat16 bfloat16 bfloat16 | bfloat16 bfloat16 bfloat16
  LayerNormalization 17 stash_type=1 | float16 float16 float16 | float16 float32 float32
  LeakyRelu 16 | bfloat16 | bfloat16
  Less 13 | uint8 uint8 | bool
  LessOrEqual 16 | uint8 uint8 | bool
  Log 13 | float16 | float16
  LogSoftmax 13 | float16 | float16
  LpNormalization 22 | bfloat16 | bfloat16
  LpPool 22 | bfloat16 | bfloat16
  MatMul 13 | float16 float16 | float16
  MatMulInteger 10 | uint8 int8 uint8 int8 | int32
  Max 13 | uint8 uint8 | uint8
  MaxPool 22 | bfloat16 | bfloat16 int64
  MaxRoiPool 22 | bfloat16 bfloat16 | bfloat16
  MaxUnpool 22 | bfloat16 int64 int64 | bfloat16
  Mean 13 | float16 float16 | float16
  MeanVarianceNormalization 13 | float16 | float16
  MelWeightMatrix 17 output_datatype=1 | int32 int32 int32 float16 float16 | float32
  Min 13 | uint8 uint8 | uint8
  Mish 22 | bfloat16 | bfloat16
  Mod 13 | uint8 uint8 | uint8
  Mul 14 | uint8 uint8 | uint8
  Multinomial 22 dtype=7 | bfloat16 | int64
  Neg 13 | int32 | int32
  NegativeLogLikelihoodLoss 22 | bfloat16 int32 bfloat16 | bfloat16
  NonMaxSuppression 11 | float32 float32 int64 float32 float32 | int64
  NonZero 13 | uint8 | int64
  Not 7 | bool | bool
  OneHot 11 | uint8 float32 float32 | float32
  Optional 15 | uint8 | opt:uint8
  OptionalGetElement 18 | opt:seq:uint8 | seq:uint8
  OptionalHasElement 18 | opt:seq:uint8 | bool
  Or 7 | bool bool | bool
  PRelu 16 | bfloat16 bfloat16 | bfloat16
  Pad 25 | uint8 int64 uint8 int32 | uint8
  Pow 15 | int32 uint8 | int32
  QLinearConv 10 | uint8 float32 uint8 int8 float32 int8 float32 int8 int32 | int8
  QLinearMatMul 21 | uint8 float32 uint8 int8 float32 int8 float32 int8 | int8
  QuantizeLinear 25 output_dtype=3 | float16 float32 int8 | int8
  RMSNormalization 23 stash_type=1 | float16 float32 | float16
  RNN 22 | bfloat16 bfloat16 bfloat16 bfloat16 int32 bfloat16 | bfloat16 bfloat16
  RandomNormal 22 dtype=1 |  | float32
  RandomNormalLike 22 dtype=1 | uint8 | float32
  RandomUniform 22 dtype=1 |  | float32
  RandomUniformLike 22 dtype=1 | uint8 | float32
  Range 11 | float64 float64 float64 | float64
  Reciprocal 13 | float16 | float16
  ReduceL1 18 | uint32 int64 | uint32
  ReduceL2 18 | uint32 int64 | uint32
  ReduceLogSum 18 | uint32 int64 | uint32
  ReduceLogSumExp 18 | uint32 int64 | uint32
  ReduceMax 20 | uint32 int64 | uint32
  ReduceMean 18 | uint32 int64 | uint32
  ReduceMin 20 | uint32 int64 | uint32
  ReduceProd 18 | uint32 int64 | uint32
  ReduceSum 13 | uint32 int64 | uint32
  ReduceSumSquare 18 | uint32 int64 | uint32
  RegexFullMatch 20 | string | bool
  Relu 14 | int32 | int32
  Reshape 25 | uint8 int64 | uint8
  Resize 19 | uint8 float16 float32 int64 | uint8
  ReverseSequence 10 | uint8 int64 | uint8
  RoiAlign 22 | bfloat16 bfloat16 int64 | bfloat16
  RotaryEmbedding 23 | float16 float16 float16 int64 | float16
  Round 22 | bfloat16 | bfloat16
  STFT 17 | float16 int32 float16 int32 | float16
  Scatter 9 | uint8 int32 uint8 | uint8
  ScatterElements 18 | uint8 int32 uint8 | uint8
  ScatterND 18 | uint8 int64 uint8 | uint8
  Selu 22 | bfloat16 | bfloat16
  SequenceAt 11 | seq:uint8 int32 | uint8
  SequenceConstruct 11 | uint8 uint8 | seq:uint8
  SequenceEmpty 11 dtype=1 |  | seq:float32
  SequenceErase 11 | seq:uint8 int32 | seq:uint8
  SequenceInsert 11 | seq:uint8 uint8 int32 | seq:uint8
  SequenceLength 11 | seq:uint8 | int64
  Shape 25 | uint8 | int64
  Shrink 9 | uint8 | uint8
  Sigmoid 13 | float16 | float16
  Sign 13 | uint8 | uint8
  Sin 22 | bfloat16 | bfloat16
  Sinh 22 | bfloat16 | bfloat16
  Size 25 | uint8 | int64
  Slice 13 | uint8 int32 int32 int32 int32 | uint8
  Softmax 13 | float16 | float16
  SoftmaxCrossEntropyLoss 13 | float16 int32 float16 | float16 float16
  Softplus 22 | bfloat16 | bfloat16
  Softsign 22 | bfloat16 | bfloat16
  SpaceToDepth 13 blocksize=1 | uint8 | uint8
  Split 18 | uint8 int64 | uint8 uint8
  SplitToSequence 24 | uint8 int32 | seq:uint8
  Sqrt 13 | float16 | float16
  Squeeze 25 | uint8 int64 | uint8
  StringConcat 20 | string string | string
  StringNormalizer 10 | string | string
  StringSplit 20 | string | string int64
  Sub 14 | uint8 uint8 | uint8
  Sum 13 | float16 float16 | float16
  Swish 24 | float16 | float16
  Tan 22 | bfloat16 | bfloat16
  Tanh 13 | bfloat16 | bfloat16
  TensorScatter 24 | uint8 uint8 int64 | uint8
  TfIdfVectorizer 9 max_gram_length=1 max_skip_count=1 min_gram_length=1 | string | float32
  ThresholdedRelu 22 | bfloat16 | bfloat16
  Tile 13 | uint8 int64 | uint8
  TopK 24 | uint8 int64 | uint8 int64
  Transpose 25 | uint8 | uint8
  Trilu 14 | uint8 int64 | uint8
  Unique 11 | uint8 | uint8 int64 int64 int64
  Unsqueeze 25 | uint8 int64 | uint8
  Upsample 9 | uint8 float32 | uint8
  Where 16 | bool uint8 uint8 | uint8
  Xor 7 | bool bool | bool
  ai.onnx.ml:ArrayFeatureExtractor 1 | float64 int64 | float64
  ai.onnx.ml:Binarizer 1 | float64 | float64
  ai.onnx.ml:FeatureVectorizer 1 | int32 int32 | float32
  ai.onnx.ml:Imputer 1 | float64 | float64
  ai.onnx.ml:LabelEncoder 1 | string | int64
  ai.onnx.ml:LinearClassifier 1 | float64 | int64 float32
  ai.onnx.ml:LinearRegressor 1 | float64 | float32
  ai.onnx.ml:Normalizer 1 | float64 | float32
  ai.onnx.ml:OneHotEncoder 1 | string | float32
  ai.onnx.ml:SVMClassifier 1 | float64 | int64 float32
  ai.onnx.ml:SVMRegressor 1 | float64 | float32
  ai.onnx.ml:Scaler 1 | float64 | float32
  ai.onnx.ml:TreeEnsembleClassifier 1 | float64 | int64 float32
  ai.onnx.ml:TreeEnsembleRegressor 3 | float64 | float32
  ai.onnx.ml:ZipMap 1 | float32 | seq:map
`

export interface OperatorTypes {
  readonly domain: string
  readonly operator: string
  readonly version: number
  readonly attributes: Readonly<Record<string, number>>
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

export const OPERATOR_TYPES: readonly OperatorTypes[] = TABLE.trim()
  .split('\n')
  .map((line) => {
    const [head, inputs, outputs] = line.split('|').map((part) => part.trim().split(' ').filter(Boolean)) as [
      string[],
      string[],
      string[],
    ]
    const [name, version, ...attributes] = head as [string, string, ...string[]]
    const [operator, domain = ''] = name.split(':').toReversed() as [string, string?]
    return {
      domain,
      operator,
      version: Number(version),
      attributes: Object.fromEntries(
        attributes.map((each) => each.split('=')).map(([key, value]) => [key!, Number(value)]),
      ),
      inputs,
      outputs,
    }
  })
