// A program without Python that loads the library by TF_LoadLibrary, and runs
// TensorFlow's own LRN and LRNGrad in a graph. test_stock.py compiles and runs
// it:
//
//   stock_c_api LIBRARY < x > results
//
// x is kCount floats. The results are, as floats: LRN of x in float and in
// bfloat16, and LRNGrad with x as each of its inputs. The exit status is 3
// where TensorFlow cannot run the graph, with its message on standard error.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

enum { kCount = 2 * 3 * 50 };
static const int64_t kShape[] = {1, 2, 3, 50};

static TF_Status* status;
static TF_Graph* graph;

static void Check(const char* what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: %s\n", what, TF_Message(status));
  exit(3);
}

// An op with default attributes; `type`, if it is not 0, is that of its output.
static TF_Output Op(const char* op, const char* name, const TF_Output* inputs,
                    int count, TF_DataType type) {
  TF_OperationDescription* description = TF_NewOperation(graph, op, name);
  for (int i = 0; i < count; ++i) TF_AddInput(description, inputs[i]);
  if (type) TF_SetAttrType(description, "DstT", type);
  TF_Operation* operation = TF_FinishOperation(description, status);
  Check(name);
  return (TF_Output){operation, 0};
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  status = TF_NewStatus();
  TF_LoadLibrary(argv[1], status);
  Check("TF_LoadLibrary");

  TF_Tensor* values =
      TF_AllocateTensor(TF_FLOAT, kShape, 4, kCount * sizeof(float));
  if (fread(TF_TensorData(values), sizeof(float), kCount, stdin) != kCount) {
    return 2;
  }
  graph = TF_NewGraph();
  TF_OperationDescription* placeholder =
      TF_NewOperation(graph, "Placeholder", "x");
  TF_SetAttrType(placeholder, "dtype", TF_FLOAT);
  const TF_Output x = {TF_FinishOperation(placeholder, status), 0};
  Check("x");
  const TF_Output narrow = Op("Cast", "narrow", &x, 1, TF_BFLOAT16);
  const TF_Output narrow_lrn = Op("LRN", "narrow_lrn", &narrow, 1, 0);
  const TF_Output all_x[] = {x, x, x};
  const TF_Output outputs[] = {
      Op("LRN", "lrn", &x, 1, 0),
      Op("Cast", "widened", &narrow_lrn, 1, TF_FLOAT),
      Op("LRNGrad", "lrn_grad", all_x, 3, 0),
  };

  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Session* session = TF_NewSession(graph, options, status);
  Check("TF_NewSession");
  TF_Tensor* results[3];
  TF_SessionRun(session, NULL, &x, &values, 1, outputs, results, 3, NULL, 0,
                NULL, status);
  Check("TF_SessionRun");
  for (int i = 0; i < 3; ++i) {
    fwrite(TF_TensorData(results[i]), sizeof(float), kCount, stdout);
  }
  return 0;
}
