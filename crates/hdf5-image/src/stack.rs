//! Frames of an HDF5 file as small files of their own: a part of each dataset along its first extent, with its attributes.
//!
//! Chunks are copied as they are stored, so a compressed frame stays compressed, also with a filter that is not installed here.

use crate::{bytes, create};
use hdf5::{
    Dataset, Datatype, File, Group, Location, PropertyList, from_id, h5check,
    plist::{DatasetCreate, LinkCreate},
    sync::sync,
};
use hdf5_sys::{
    h5::{hbool_t, herr_t, hsize_t},
    h5a::{H5Acreate2, H5Aget_space, H5Aget_type, H5Aread, H5Awrite},
    h5d::{
        H5D_layout_t, H5Dcreate2, H5Dget_create_plist, H5Dget_space, H5Dget_type, H5Dread, H5Dread_chunk1,
        H5Dvlen_reclaim, H5Dwrite, H5Dwrite_chunk,
    },
    h5i::hid_t,
    h5p::{H5P_DEFAULT, H5Pget_filter2, H5Pget_layout, H5Pget_nfilters, H5Pset_obj_track_times},
    h5s::{H5S_ALL, H5S_UNLIMITED, H5S_seloper_t, H5Screate_simple, H5Sget_simple_extent_npoints, H5Sselect_hyperslab},
    h5t::{H5T_class_t, H5Tdetect_class, H5Tget_size},
    h5z::{H5Z_class2_t, H5Zfilter_avail, H5Zregister},
};
use std::{
    ffi::{CString, c_int, c_uint, c_void},
    path::Path,
    ptr::{null, null_mut},
};

// hdf5-sys binds all around it but not this one, which looks one chunk up instead of walking through all.
unsafe extern "C" {
    fn H5Dget_chunk_storage_size(dset_id: hid_t, offset: *const hsize_t, chunk_bytes: *mut hsize_t) -> herr_t;
}

/// Words in the names of datasets that tell when and at which energy a frame was taken.
const TELLING: [&str; 3] = ["timestamp", "wavelength", "energy"];
/// Groups inside groups beyond this depth are not searched.
const DEPTH_MAX: usize = 12;

/// A dataset of frames, with the datasets that go with it.
#[derive(Debug)]
pub struct Stack {
    file: File,
    frames: Dataset,
    path: String,
    with: Vec<String>,
    shape: Vec<usize>,
}

impl Stack {
    /// Opens a file for reading. Without `path` the frames are the largest dataset of two or more extents; without `with`,
    /// the datasets of at most one extent that are named after a timestamp, a wavelength or an energy go with them.
    ///
    /// # Errors
    ///
    /// A sentence, if it is not an HDF5 file with such datasets.
    pub fn open(file: &Path, path: Option<&str>, with: Option<&[String]>) -> Result<Self, String> {
        let name = file.display();
        let file = File::open(file).map_err(|error| format!("`{name}` is not readable as HDF5: {error}"))?;
        let named =
            |path: &str| file.dataset(path).map_err(|_| format!("`{name}` has no dataset `{path}`{}", listed(&file)));
        let (frames, path) = match path {
            Some(path) => (named(path)?, path.to_owned()),
            None => {
                let of_frames = datasets(&file).into_iter().filter(|(dataset, _)| dataset.ndim() >= 2);
                of_frames
                    .max_by_key(|(dataset, _)| dataset.size())
                    .ok_or_else(|| format!("`{name}` has no dataset of two or more extents, as frames are"))?
            }
        };
        let shape = frames.shape();
        if shape.is_empty() || shape.contains(&0) {
            return Err(format!("dataset `{path}` of `{name}` holds no frames: its extents are {shape:?}"));
        }
        let with = match with {
            Some(with) => {
                with.iter().try_for_each(|path| named(path).map(drop))?;
                with.to_vec()
            }
            None => telling(&file, &path),
        };
        stand_in(&frames).map_err(|error| format!("`{path}` of `{name}`: {error}"))?;
        for path in &with {
            stand_in(&named(path)?).map_err(|error| format!("`{path}` of `{name}`: {error}"))?;
        }
        Ok(Self { file, frames, path, with, shape })
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.shape[0]
    }

    /// Whether it has none, which [`Self::open`] refuses.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Path of the frames.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Paths of the datasets that go with them.
    pub fn with(&self) -> &[String] {
        &self.with
    }

    /// Bytes of one frame without compression.
    pub fn frame_bytes(&self) -> usize {
        let element = self.frames.dtype().map_or(1, |dtype| dtype.size());
        self.shape[1..].iter().product::<usize>() * element
    }

    /// Frames of one chunk, if chunks have to be copied as they are.
    pub fn whole_chunk(&self) -> Option<usize> {
        let chunk = self.frames.chunk()?;
        (!filters(&self.frames).is_empty()).then(|| chunk[0])
    }

    /// What of the file goes into a message, one line each.
    pub fn describe(&self) -> Vec<String> {
        let line = |path: &str, dataset: &Dataset| {
            let dtype = dataset
                .dtype()
                .and_then(|dtype| dtype.to_descriptor())
                .map_or("?".to_owned(), |dtype| dtype.to_string());
            let chunk = dataset.chunk().map_or("contiguous".to_owned(), |chunk| format!("chunks of {chunk:?}"));
            let filters = filters(dataset).into_iter().map(|(id, name)| format!("{name} ({id})")).collect::<Vec<_>>();
            let filters =
                if filters.is_empty() { "no filters".to_owned() } else { format!("filters {}", filters.join(", ")) };
            format!("{path}: {dtype} {:?}, {chunk}, {filters}", dataset.shape())
        };
        let others = self.with.iter().filter_map(|path| Some(line(path, &self.file.dataset(path).ok()?)));
        std::iter::once(line(&self.path, &self.frames)).chain(others).collect()
    }

    /// A file with the frames from `from` up to `to`, at the same paths and with the same attributes.
    ///
    /// # Errors
    ///
    /// A sentence, if a dataset cannot be read or written.
    pub fn slice(&self, from: usize, to: usize) -> Result<Vec<u8>, String> {
        let failed =
            |path: &str, error: hdf5::Error| format!("frames {from} to {to} of `{path}` cannot be copied: {error}");
        let file = create().map_err(|error| failed(&self.path, error))?;
        let links = LinkCreate::build().create_intermediate_group(true).finish();
        let links = links.map_err(|error| failed(&self.path, error))?;
        for path in std::iter::once(&self.path).chain(&self.with) {
            let dataset = self.file.dataset(path).map_err(|error| failed(path, error))?;
            let copied = if dataset.ndim() > 0 && dataset.shape()[0] == self.len() {
                copy_part(&dataset, &file, path, &links, from, to)
            } else {
                dataset.copy_to_with_props(&file, path, None, Some(&links))
            };
            copied.map_err(|error| failed(path, error))?;
        }
        for group in groups_above(std::iter::once(&self.path).chain(&self.with)) {
            let (old, new) = (self.file.group(&group), file.group(&group));
            let copied = old.and_then(|old| {
                let new = new?;
                copy_attributes(&old, &new)
            });
            copied.map_err(|error| failed(&group, error))?;
        }
        bytes(&file).map_err(|error| failed(&self.path, error))
    }
}

/// All datasets of a file, by path. What cannot be opened, such as a broken link, is left out.
fn datasets(file: &File) -> Vec<(Dataset, String)> {
    fn search(group: &Group, prefix: &str, depth: usize, found: &mut Vec<(Dataset, String)>) {
        for name in group.member_names().unwrap_or_default() {
            let path = format!("{prefix}/{name}");
            if let Ok(dataset) = group.dataset(&name) {
                found.push((dataset, path));
            } else if let (Ok(inner), true) = (group.group(&name), depth < DEPTH_MAX) {
                search(&inner, &path, depth + 1, found);
            }
        }
    }
    let mut found = Vec::new();
    search(file, "", 0, &mut found);
    found
}

fn listed(file: &File) -> String {
    let paths: Vec<String> = datasets(file).into_iter().map(|(_, path)| format!("`{path}`")).take(8).collect();
    if paths.is_empty() { String::new() } else { format!(": it has {}", paths.join(", ")) }
}

fn telling(file: &File, frames: &str) -> Vec<String> {
    let told = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
        TELLING.iter().any(|word| name.contains(word))
    };
    let fit = |(dataset, path): (Dataset, String)| {
        (path != frames && told(&path) && dataset.ndim() <= 1 && !has_pointers(&dataset)).then_some(path)
    };
    datasets(file).into_iter().filter_map(fit).collect()
}

/// Whether elements are pointers to other places of a file.
fn has_pointers(dataset: &Dataset) -> bool {
    dataset
        .dtype()
        .is_ok_and(|dtype| detects(&dtype, H5T_class_t::H5T_VLEN) || detects(&dtype, H5T_class_t::H5T_REFERENCE))
}

fn detects(dtype: &Datatype, class: H5T_class_t) -> bool {
    // SAFETY: the type is open; the call only looks at it.
    sync(|| unsafe { H5Tdetect_class(dtype.id(), class) }) > 0
}

/// `/`, `/entry`, `/entry/data`: each group above these paths once.
fn groups_above<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut groups = vec!["/".to_owned()];
    for path in paths {
        let path = format!("/{}", path.trim_start_matches('/'));
        groups.extend(path.match_indices('/').skip(1).map(|(at, _)| path[..at].to_owned()));
    }
    groups.sort();
    groups.dedup();
    groups
}

/// Number and name of each filter of a dataset.
fn filters(dataset: &Dataset) -> Vec<(c_int, String)> {
    let Ok(list) = creation(dataset) else { return Vec::new() };
    sync(|| {
        // SAFETY: the list is open. Each pointer is to a buffer of the given length, or null where the value is not wanted.
        let count = unsafe { H5Pget_nfilters(list.id()) }.max(0);
        let filter = |index| {
            let (mut flags, mut values, mut name) = (0, 0, [0u8; 64]);
            // SAFETY: as above.
            let id = unsafe {
                let name = name.as_mut_ptr().cast();
                H5Pget_filter2(list.id(), index, &raw mut flags, &raw mut values, null_mut(), 64, name, null_mut())
            };
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            let name =
                String::from_utf8_lossy(&name[..end]).split([';', ',']).next().unwrap_or_default().trim().to_owned();
            (id, if name.is_empty() { "filter".to_owned() } else { name })
        };
        (0..count as c_uint).map(filter).collect()
    })
}

fn creation(dataset: &Dataset) -> hdf5::Result<DatasetCreate> {
    // SAFETY: the dataset is open, and the returned list has no other owner.
    sync(|| unsafe { from_id(h5check(H5Dget_create_plist(dataset.id()))?) })
}

/// Registers a stand-in for each filter of a dataset that libhdf5 lacks, since it creates no dataset otherwise.
fn stand_in(dataset: &Dataset) -> hdf5::Result<()> {
    filters(dataset).into_iter().try_for_each(|(id, _)| register(id))
}

/// Registers a filter that does nothing, unless there is one of this number. Only chunks that are filtered already are ever written to
/// it; reading through it fails.
fn register(id: c_int) -> hdf5::Result<()> {
    unsafe extern "C" fn fail(
        _: c_uint,
        _: usize,
        _: *const c_uint,
        _: usize,
        _: *mut usize,
        _: *mut *mut c_void,
    ) -> usize {
        0
    }
    sync(|| {
        // SAFETY: the call only looks for a filter of this number.
        if unsafe { H5Zfilter_avail(id) } > 0 {
            return Ok(());
        }
        let class = H5Z_class2_t {
            version: 1,
            id,
            encoder_present: 1,
            decoder_present: 1,
            name: c"not installed".as_ptr(),
            can_apply: None,
            set_local: None,
            filter: Some(fail),
        };
        // SAFETY: libhdf5 copies the class, whose name and function are static.
        h5check(unsafe { H5Zregister((&raw const class).cast()) }).map(drop)
    })
}

/// Copies rows `from..to` of a dataset, in chunks as they are stored where they are whole.
fn copy_part(old: &Dataset, file: &File, path: &str, links: &PropertyList, from: usize, to: usize) -> hdf5::Result<()> {
    if has_pointers(old) {
        return Err("its elements are pointers to other places of the file; leave it out".into());
    }
    let chunk = old.chunk();
    let list = list_for(old, chunk.is_some())?;
    let mut extents: Vec<hsize_t> = old.shape().iter().map(|extent| *extent as hsize_t).collect();
    let all = extents[0];
    extents[0] = (to - from) as hsize_t;
    let mut most = extents.clone();
    // A chunk larger than its dataset needs a dataset that can grow.
    if chunk.as_ref().is_some_and(|chunk| chunk[0] as hsize_t > extents[0]) {
        most[0] = H5S_UNLIMITED;
    }
    let name = CString::new(path).map_err(|_| "its path has a zero byte")?;
    let (new, element) = sync(|| -> hdf5::Result<(Dataset, Datatype)> {
        // SAFETY: every identifier is open, every pointer is to a buffer of as many extents as the rank, and each returned
        // identifier has no other owner.
        unsafe {
            let element: Datatype = from_id(h5check(H5Dget_type(old.id()))?)?;
            let space: hdf5::Dataspace =
                from_id(h5check(H5Screate_simple(extents.len() as c_int, extents.as_ptr(), most.as_ptr()))?)?;
            let (links, list) = (links.id(), list.id());
            let id = H5Dcreate2(file.id(), name.as_ptr(), element.id(), space.id(), links, list, H5P_DEFAULT);
            Ok((from_id(h5check(id)?)?, element))
        }
    })?;
    match chunk {
        Some(chunk) if from.is_multiple_of(chunk[0]) && (to.is_multiple_of(chunk[0]) || to as hsize_t == all) => {
            copy_chunks(old, &new, &extents, &chunk, from)?;
        }
        _ => copy_values(old, &new, &element, &extents, from)?,
    }
    copy_attributes(old, &new)
}

/// The layout and the filters of a dataset in chunks; else those of a plain one. Without times, so that the same frames have the same
/// bytes.
fn list_for(old: &Dataset, chunked: bool) -> hdf5::Result<DatasetCreate> {
    let list = creation(old)?;
    // SAFETY: the list is open.
    let layout = sync(|| unsafe { H5Pget_layout(list.id()) });
    let list = if chunked && layout == H5D_layout_t::H5D_CHUNKED { list } else { DatasetCreate::try_new()? };
    // SAFETY: the list is open.
    sync(|| h5check(unsafe { H5Pset_obj_track_times(list.id(), false as hbool_t) }))?;
    Ok(list)
}

fn copy_chunks(old: &Dataset, new: &Dataset, extents: &[hsize_t], chunk: &[usize], from: usize) -> hdf5::Result<()> {
    let mut buffer: Vec<u8> = Vec::new();
    let mut at: Vec<hsize_t> = vec![0; extents.len()];
    loop {
        let mut source = at.clone();
        source[0] += from as hsize_t;
        sync(|| -> hdf5::Result<()> {
            let (mut size, mut mask) = (0, 0);
            // SAFETY: both datasets are open and have as many extents as the offsets; the buffer is as large as the chunk.
            unsafe {
                h5check(H5Dget_chunk_storage_size(old.id(), source.as_ptr(), &raw mut size))?;
                // A chunk that was never written has no place in the file.
                if size == 0 {
                    return Ok(());
                }
                buffer.resize(size as usize, 0);
                let to = buffer.as_mut_ptr().cast();
                h5check(H5Dread_chunk1(old.id(), H5P_DEFAULT, source.as_ptr(), &raw mut mask, to))?;
                h5check(H5Dwrite_chunk(
                    new.id(),
                    H5P_DEFAULT,
                    mask,
                    at.as_ptr(),
                    buffer.len(),
                    buffer.as_ptr().cast(),
                ))?;
            }
            Ok(())
        })?;
        // The next place, the last extent fastest.
        let mut axis = at.len();
        loop {
            if axis == 0 {
                return Ok(());
            }
            axis -= 1;
            at[axis] += chunk[axis] as hsize_t;
            if at[axis] < extents[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

fn copy_values(old: &Dataset, new: &Dataset, element: &Datatype, extents: &[hsize_t], from: usize) -> hdf5::Result<()> {
    let count: hsize_t = extents.iter().product();
    let mut buffer = vec![0u8; count as usize * element.size()];
    let mut start: Vec<hsize_t> = vec![0; extents.len()];
    start[0] = from as hsize_t;
    sync(|| {
        // SAFETY: every identifier is open, offsets and counts have as many extents as the dataset, and the buffer has room for the
        // selected elements of the dataset's own type.
        unsafe {
            let place: hdf5::Dataspace = from_id(h5check(H5Dget_space(old.id()))?)?;
            let set = H5S_seloper_t::H5S_SELECT_SET;
            h5check(H5Sselect_hyperslab(place.id(), set, start.as_ptr(), null(), extents.as_ptr(), null()))?;
            let rank = extents.len() as c_int;
            let here: hdf5::Dataspace = from_id(h5check(H5Screate_simple(rank, extents.as_ptr(), null()))?)?;
            let to = buffer.as_mut_ptr().cast();
            h5check(H5Dread(old.id(), element.id(), here.id(), place.id(), H5P_DEFAULT, to))?;
            h5check(H5Dwrite(new.id(), element.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer.as_ptr().cast()))?;
        }
        Ok(())
    })
}

/// Copies the attributes that hold values. References are left out, which point at objects of the old file.
#[allow(deprecated, reason = "libhdf5 1.10 lacks the name of the last call that 1.12 prefers")]
fn copy_attributes(old: &Location, new: &Location) -> hdf5::Result<()> {
    for name in old.attr_names()? {
        let attribute = old.attr(&name)?;
        let name = CString::new(name).map_err(|_| "an attribute's name has a zero byte")?;
        sync(|| -> hdf5::Result<()> {
            // SAFETY: every identifier is open, and each returned one has no other owner. The buffer has room for all elements;
            // what libhdf5 allocates for those of varying length, it frees again.
            unsafe {
                let element: Datatype = from_id(h5check(H5Aget_type(attribute.id()))?)?;
                if H5Tdetect_class(element.id(), H5T_class_t::H5T_REFERENCE) > 0 {
                    return Ok(());
                }
                let space: hdf5::Dataspace = from_id(h5check(H5Aget_space(attribute.id()))?)?;
                let count = H5Sget_simple_extent_npoints(space.id()).max(0) as usize;
                let mut buffer = vec![0u8; (count * H5Tget_size(element.id())).max(1)];
                let copy: hdf5::Attribute = from_id(h5check(H5Acreate2(
                    new.id(),
                    name.as_ptr(),
                    element.id(),
                    space.id(),
                    H5P_DEFAULT,
                    H5P_DEFAULT,
                ))?)?;
                if count == 0 {
                    return Ok(());
                }
                h5check(H5Aread(attribute.id(), element.id(), buffer.as_mut_ptr().cast()))?;
                let written = h5check(H5Awrite(copy.id(), element.id(), buffer.as_ptr().cast()));
                if H5Tdetect_class(element.id(), H5T_class_t::H5T_VLEN) > 0
                    || H5Tdetect_class(element.id(), H5T_class_t::H5T_STRING) > 0
                {
                    H5Dvlen_reclaim(element.id(), space.id(), H5P_DEFAULT, buffer.as_mut_ptr().cast());
                }
                written.map(drop)
            }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Image;
    use hdf5::{filters::Filter, types::VarLenUnicode};

    /// A file in the layout of CXI, ten frames of 4 x 6 pixels, each a chunk.
    fn file(dir: &Path, filters: &[Filter], raw: bool) -> std::path::PathBuf {
        let path = dir.join("run.cxi");
        let file = File::create(&path).unwrap();
        let frames: Vec<u16> = (0..240).collect();
        let dataset = file.new_dataset_builder().create_intermediate_group(true).chunk([1, 4, 6]).set_filters(filters);
        let dataset = dataset.empty::<u16>().shape([10, 4, 6]).create("entry_1/instrument_1/detector_1/data").unwrap();
        if raw {
            for frame in 0..10 {
                let (at, bytes) = ([frame, 0, 0], stored(frame));
                // SAFETY: the dataset is open, the offset has its rank, and the buffer the given length.
                let id = dataset.id();
                let written =
                    sync(|| unsafe { H5Dwrite_chunk(id, H5P_DEFAULT, 0, at.as_ptr(), 40, bytes.as_ptr().cast()) });
                h5check(written).unwrap();
            }
        } else {
            dataset.write_raw(&frames).unwrap();
        }
        let unit: VarLenUnicode = "counts".parse().unwrap();
        dataset.new_attr::<VarLenUnicode>().create("units").unwrap().write_scalar(&unit).unwrap();
        let entry = file.group("entry_1").unwrap();
        entry.new_attr::<u32>().create("number").unwrap().write_scalar(&7u32).unwrap();
        let times: Vec<f64> = (0..10).map(f64::from).collect();
        entry.new_dataset_builder().with_data(&times).create("timestamp").unwrap();
        entry.new_dataset::<f64>().create("photon_energy_eV").unwrap().write_scalar(&9500.0).unwrap();
        entry.new_dataset_builder().with_data(&times).create("motor").unwrap();
        path
    }

    /// What stands for a compressed frame.
    fn stored(frame: hsize_t) -> [u8; 40] {
        std::array::from_fn(|at| (frame as usize * 41 + at * at) as u8)
    }

    fn holds(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_slice_has_its_frames_what_tells_of_them_and_their_attributes_at_the_same_paths() {
        let dir = tempfile::tempdir().unwrap();
        for filters in [vec![], vec![Filter::Shuffle, Filter::Deflate(4)]] {
            let stack = Stack::open(&file(dir.path(), &filters, false), None, None).unwrap();
            assert_eq!((stack.len(), stack.path()), (10, "/entry_1/instrument_1/detector_1/data"));
            let bytes = stack.slice(3, 5).unwrap();
            assert_eq!(bytes, stack.slice(3, 5).unwrap(), "the same frames have the same bytes");
            let image = Image::open(&bytes).unwrap();
            let (mut pixels, mut times, mut energy) = (Vec::<u16>::new(), Vec::<f64>::new(), Vec::<f64>::new());
            image.read(stack.path(), &[2, 4, 6], &mut pixels).unwrap();
            assert_eq!(pixels, (72..120).collect::<Vec<u16>>());
            image.read("/entry_1/timestamp", &[2], &mut times).unwrap();
            image.read("/entry_1/photon_energy_eV", &[], &mut energy).unwrap();
            assert_eq!((times, energy), (vec![3.0, 4.0], vec![9500.0]));
            assert!(image.read("/entry_1/motor", &[2], &mut Vec::<f64>::new()).is_err(), "it was not asked for");
            let dataset = image.file.dataset(stack.path()).unwrap();
            assert_eq!(dataset.filters(), filters);
            assert_eq!(dataset.attr("units").unwrap().read_scalar::<VarLenUnicode>().unwrap().as_str(), "counts");
            let number = image.file.group("entry_1").unwrap().attr("number").unwrap().read_scalar::<u32>();
            assert_eq!(number.unwrap(), 7);
        }
    }

    #[test]
    fn chunks_of_a_filter_that_is_not_installed_are_kept_as_they_are() {
        // The number of Bitshuffle, with its parameters for LZ4.
        let bitshuffle = Filter::user(32_008, &[0, 4, 2, 0, 2]);
        let dir = tempfile::tempdir().unwrap();
        // Creating the file itself needs the stand-in.
        register(32_008).unwrap();
        let stack = Stack::open(&file(dir.path(), std::slice::from_ref(&bitshuffle), true), None, None).unwrap();
        assert_eq!(stack.whole_chunk(), Some(1));
        let bytes = stack.slice(6, 8).unwrap();
        for frame in 0..10 {
            assert_eq!(holds(&bytes, &stored(frame)), (6..8).contains(&frame), "frame {frame}");
        }
        let image = Image::open(&bytes).unwrap();
        assert_eq!(image.file.dataset(stack.path()).unwrap().filters(), [bitshuffle]);
        assert!(image.read(stack.path(), &[2, 4, 6], &mut Vec::<u16>::new()).is_err(), "nobody can read it here");
    }

    #[test]
    fn what_has_no_frames_is_refused_with_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), &[], false);
        let error = Stack::open(&path, Some("/entry/data"), None).unwrap_err();
        assert!(error.contains("no dataset `/entry/data`: it has `/entry_1/"), "{error}");
        std::fs::write(dir.path().join("text.h5"), "not HDF5").unwrap();
        assert!(Stack::open(&dir.path().join("text.h5"), None, None).unwrap_err().contains("not readable as HDF5"));
    }
}
