// Decodes codes to a WAV file with the graphs of codec export --onnx, in C++17 with ONNX Runtime.
//
//   g++ -std=c++17 -I ONNXRUNTIME/include decode.cpp -L ONNXRUNTIME/lib -l onnxruntime -o decode
//   codec export speech_16k_v2 --out model/ --onnx --dtype int8
//   ./decode model/decoder.int8.onnx codes.npy sound.wav
//
// ONNXRUNTIME is the unpacked archive of a release (https://github.com/microsoft/onnxruntime/releases). codes.npy holds
// 32- or 64-bit integers [codebooks, frames], as codec tokens and c.encode(wave, rate).codes have them. Everything else
// that decoding needs to know is in the graph: its inputs have the shapes, its metadata the rates.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

constexpr int64_t kBlock = 64;  // frames that are computed at once

struct Codes {
  std::vector<int64_t> values;  // [codebooks, frames]
  int64_t codebooks, frames;
};

Codes read_codes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.size() < 10) throw std::runtime_error(path + ": cannot be read");
  const size_t end = 10 + static_cast<uint8_t>(bytes[8]) + 256 * static_cast<uint8_t>(bytes[9]);
  const std::string header = bytes.substr(10, end - 10);
  std::smatch kind, shape;
  if (!std::regex_search(header, kind, std::regex("'descr': '<i([48])'")) ||
      !std::regex_search(header, shape, std::regex("'shape': \\((\\d+), (\\d+)\\)")) ||
      header.find("'fortran_order': True") != std::string::npos)
    throw std::runtime_error(path + ": not integers of 32 or 64 bits [codebooks, frames] in C order");
  Codes codes{{}, std::stoll(shape[1]), std::stoll(shape[2])};
  const size_t size = std::stoul(kind[1]), count = codes.codebooks * codes.frames;
  if (bytes.size() < end + count * size) throw std::runtime_error(path + ": truncated");
  for (size_t place = 0; place < count; ++place) {
    int64_t wide = 0;
    int32_t narrow = 0;
    std::memcpy(size == 8 ? static_cast<void*>(&wide) : &narrow, bytes.data() + end + place * size, size);
    codes.values.push_back(size == 8 ? wide : narrow);
  }
  return codes;
}

std::vector<float> decode(Ort::Session& session, const Codes& codes, int64_t hop) {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<std::string> inputs, outputs;
  for (size_t i = 0; i < session.GetInputCount(); ++i)
    inputs.emplace_back(session.GetInputNameAllocated(i, allocator).get());
  for (size_t i = 0; i < session.GetOutputCount(); ++i)
    outputs.emplace_back(session.GetOutputNameAllocated(i, allocator).get());
  std::vector<const char*> takes, gives;
  for (const auto& name : inputs) takes.push_back(name.c_str());
  for (const auto& name : outputs) gives.push_back(name.c_str());

  std::vector<std::vector<float>> zeros(inputs.size());
  std::vector<Ort::Value> given;
  given.emplace_back(nullptr);  // the codes of a block
  for (size_t i = 1; i < inputs.size(); ++i) {
    auto shape = session.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape();
    shape[0] = 1;  // streams
    int64_t size = 1;
    for (int64_t length : shape) size *= length;
    zeros[i].resize(size);
    given.push_back(Ort::Value::CreateTensor<float>(memory, zeros[i].data(), size, shape.data(), shape.size()));
  }
  const int64_t all = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape()[1];
  std::vector<float> wave;
  for (int64_t first = 0; first < codes.frames; first += kBlock) {
    const int64_t count = std::min(kBlock, codes.frames - first);
    std::vector<int64_t> block(all * count, -1);  // -1 stands for a code that is missing
    for (int64_t book = 0; book < std::min(all, codes.codebooks); ++book)
      std::copy_n(&codes.values[book * codes.frames + first], count, &block[book * count]);
    const int64_t shape[] = {1, all, count};
    given[0] = Ort::Value::CreateTensor<int64_t>(memory, block.data(), block.size(), shape, 3);
    auto found = session.Run({}, takes.data(), given.data(), given.size(), gives.data(), gives.size());
    const float* samples = found[0].GetTensorData<float>();
    wave.insert(wave.end(), samples, samples + found[0].GetTensorTypeAndShapeInfo().GetElementCount());
    for (size_t i = 1; i < given.size(); ++i) given[i] = std::move(found[i]);  // the state of the next block
  }
  wave.erase(wave.begin(), wave.begin() + std::min<int64_t>(hop, wave.size()));  // what is before the first sample
  return wave;
}

void write_wav(const std::string& path, const std::vector<float>& wave, uint32_t rate) {
  std::ofstream file(path, std::ios::binary);
  const auto number = [&](uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) file.put(static_cast<char>(value >> shift));
  };
  const uint32_t size = 2 * wave.size();
  file << "RIFF", number(36 + size), file << "WAVEfmt ";
  for (uint32_t value : {16u, 0x10001u, rate, 2 * rate, 0x100002u}) number(value);
  file << "data", number(size);
  for (float value : wave) {
    const int level = std::clamp(static_cast<int>(std::lrint(value * 32768)), -32768, 32767);
    file.put(static_cast<char>(level)).put(static_cast<char>(level >> 8));
  }
}

int main(int count, char** words) try {
  if (count != 4) throw std::runtime_error("decode MODEL/decoder.onnx CODES.npy SOUND.wav");
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "decode");
  Ort::Session session(environment, words[1], Ort::SessionOptions{});
  Ort::AllocatorWithDefaultOptions allocator;
  const auto told = [&](const char* key) {
    return std::stoi(session.GetModelMetadata().LookupCustomMetadataMapAllocated(key, allocator).get());
  };
  const Codes codes = read_codes(words[2]);
  write_wav(words[3], decode(session, codes, told("hop")), told("sample_rate"));
  std::cout << words[3] << ": " << codes.frames << " frames\n";
  return 0;
} catch (const std::exception& error) {
  std::cerr << "decode: " << error.what() << "\n";
  return 1;
}
